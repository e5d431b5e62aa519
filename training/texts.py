"""Prompts and targets -> tokens of encoder-decoders and decoder-only models, with or without chat template.

Special tokens are put around the tokens of a text, never found in it: a row whose text holds one is left out.
"""

from __future__ import annotations

import copy
import hashlib
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property, partial
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, Protocol

from training.borders import Place, border_behind, border_behind_texts, tokens_behind_texts

PLACE_OF_PROMPT, PLACE_OF_TARGET = "PROMPTPLACE", "TARGETPLACE"
"""Stand for the texts while a chat template is rendered: letters alone, which no template changes."""

TEXTS_AT_ONCE = 1024


class Tokenizer(Protocol):
    """What is used of a Hugging Face tokenizer."""

    pad_token_id: Any
    eos_token_id: Any
    all_special_tokens: Any

    def __call__(self, text: Any, **options: Any) -> Any: ...

    def convert_tokens_to_ids(self, tokens: Any) -> Any: ...

    def convert_ids_to_tokens(self, ids: Any) -> Any: ...


class TokenizerError(ValueError):
    """A tokenizer that this trainer cannot use, or not so; the message says what is missing."""

    def __init__(self, remedy: str, setting: str | None = None) -> None:
        """
        Args:
            setting: of `TextSettings`, where that is what is wrong.
        """
        super().__init__(remedy if setting is None else f"{setting}: {remedy}")
        self.remedy, self.setting = remedy, setting


@dataclass(frozen=True)
class TextSettings:
    """How long texts may be, and what stands between a prompt and its target."""

    max_prompt_tokens: int = 128
    max_target_tokens: int = 128
    """Each with its special tokens, as in mBLIP; longer ones are cut, and counted."""
    decoder_only: bool = False
    """Prompt and target make one sequence."""
    chat: bool | None = None
    """Put the prompt into the tokenizer's chat template; None: if it has one (decoder-only models)."""
    chat_options: Mapping[str, Any] = field(default_factory=dict)
    """Handed to the template: `{enable_thinking: false}`."""
    separator: str = "\n"
    """Between prompt and target of a decoder-only model without a chat template."""

    def __post_init__(self) -> None:
        for name in ("max_prompt_tokens", "max_target_tokens"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name}: {getattr(self, name)!r} must be at least 2")


@dataclass(frozen=True)
class Layout:
    """The tokens that stand around every prompt and every target."""

    before_prompt: tuple[int, ...] = ()
    after_prompt: tuple[int, ...] = ()
    before_target: tuple[int, ...] = ()
    after_target: tuple[int, ...] = ()
    image_position: int = 0
    """How many tokens stand before the visual ones."""
    by_language: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """NLLB code -> the token that comes first, in prompts and targets; empty but for NLLB's tokenizers."""
    prompt: Place | None = field(default=None, repr=False)
    """Where a prompt stands, for tokenizers that put a space before a text; None: it is tokenised alone."""
    target: Place | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Tokens:
    """A text with all its special tokens."""

    ids: tuple[int, ...]
    cut: bool
    """It was longer than allowed."""


class TextEncoder:
    """Prompts and targets as tokens of one model; training and generation both use it."""

    def __init__(self, tokenizer: Tokenizer, settings: TextSettings, codes: Iterable[str] = ()) -> None:
        """
        Args:
            codes: NLLB codes of the languages that occur; only a tokenizer that marks languages needs them.

        Raises:
            TokenizerError: it has no end or padding token, a broken chat template, or unknown languages.
        """
        # A copy, since threads use it: the caller may use its own at any time.
        self.tokenizer, self.settings = copy.deepcopy(tokenizer), settings
        self._lock = threading.Lock()
        self._others: dict[str, int | None] = {}
        """Marks of languages that no shard is named after: of prompts."""
        if tokenizer.eos_token_id is None:
            raise TokenizerError("the tokenizer has no end token (`eos_token`), so targets would never end")
        self.layout = layout_of(tokenizer, settings, codes)
        around = len(self.layout.before_prompt) + len(self.layout.after_prompt) + 1
        if around > settings.max_prompt_tokens:
            raise TokenizerError(
                f"too few; {around - 1} stand around every prompt, so take more", "max_prompt_tokens"
            )
        behind = len(self.layout.before_target) + len(self.layout.after_target) + 1
        if behind > settings.max_target_tokens:
            raise TokenizerError(
                f"too few; {behind - 1} stand around every target, so take more", "max_target_tokens"
            )

    @property
    def pad_id(self) -> int:
        """What fills up a batch; masked everywhere, so the end token does where there is none for it."""
        pad = self.tokenizer.pad_token_id
        return int(self.tokenizer.eos_token_id if pad is None else pad)

    def prompts(self, texts: Sequence[str], languages: Sequence[str]) -> list[Tokens | None]:
        """Each prompt up to where the target starts; None where it holds a special token, or where it is in a
        language that the tokenizer has no mark for.

        Args:
            languages: NLLB code of each.
        """
        layout = self.layout
        return self._around(
            self._contents(texts, layout.prompt),
            texts,
            languages,
            layout.before_prompt,
            layout.after_prompt,
            self.settings.max_prompt_tokens,
        )

    def targets(self, texts: Sequence[str], languages: Sequence[str]) -> list[Tokens | None]:
        """Each target with its end token, also where it is cut; None as for prompts."""
        layout = self.layout
        return self._around(
            self._contents(texts, layout.target),
            texts,
            languages,
            layout.before_target,
            layout.after_target,
            self.settings.max_target_tokens,
        )

    def _around(
        self,
        contents: Mapping[str, tuple[int, ...] | None],
        texts: Sequence[str],
        languages: Sequence[str],
        before: tuple[int, ...],
        after: tuple[int, ...],
        limit: int,
    ) -> list[Tokens | None]:
        made: list[Tokens | None] = []
        for text, language in zip(texts, languages, strict=True):
            ids = contents[text]
            mark = self._language_token(language) if self.layout.by_language else None
            if ids is None or (mark is None and self.layout.by_language):
                made.append(None)
                continue
            start = before if mark is None else (mark, *before)
            room = limit - len(start) - len(after)
            made.append(Tokens((*start, *ids[:room], *after), len(ids) > room))
        return made

    def knows(self, language: str) -> bool:
        """Whether texts in this language (NLLB code) can be told as such, where the tokenizer marks them."""
        return not self.layout.by_language or self._language_token(language) is not None

    def _language_token(self, language: str) -> int | None:
        """What marks a text of the language; None if nothing does."""
        token = self.layout.by_language.get(language)
        if token is not None:
            return token
        with self._lock:
            if language not in self._others:
                found: Mapping[str, int] = {}
                with suppress(TokenizerError):
                    found = _language_ids(self.tokenizer, [language])
                self._others[language] = found.get(language)
            return self._others[language]

    def _contents(self, texts: Sequence[str], place: Place | None) -> dict[str, tuple[int, ...] | None]:
        """Distinct text -> its tokens; prompts repeat a few templates, so that is far fewer than rows."""
        tokens_of = partial(_ids, self.tokenizer)
        contents: dict[str, tuple[int, ...] | None] = dict.fromkeys(texts)
        plain = [text for text in contents if not self._special.search(text)]
        for start in range(0, len(plain), TEXTS_AT_ONCE):
            chunk = plain[start : start + TEXTS_AT_ONCE]
            # A Rust tokenizer refuses to be used by two threads at a time.
            with self._lock:
                encoded = tokens_of(chunk) if place is None else place.tokens(chunk, tokens_of)
            for text, ids in zip(chunk, encoded, strict=True):
                contents[text] = tuple(ids)
        return contents

    @cached_property
    def _special(self) -> re.Pattern[str]:
        added = getattr(self.tokenizer, "added_tokens_decoder", {}).values()
        tokens = {str(token) for token in self.tokenizer.all_special_tokens}
        tokens |= {str(token) for token in added if getattr(token, "special", False)}
        # The longest first, as a tokenizer looks for them; a blank one would be found in any text.
        ordered = sorted((token for token in tokens if token.strip()), key=lambda token: (-len(token), token))
        return re.compile("|".join(map(re.escape, ordered)) or r"(?!)")

    def signature(self) -> dict[str, Any]:
        """What decides on tokens, and so on the order: another tokenizer has another signature."""
        places = (self.layout.prompt, self.layout.target)
        return {
            "settings": repr(self.settings),
            "layout": repr(self.layout),
            "probe": _ids(self.tokenizer, [_PROBE])[0],
            "special": hashlib.sha256(self._special.pattern.encode()).hexdigest()[:16],
            # Only where there are any, so that runs from before there were places go on.
            **({"places": repr(places)} if any(places) else {}),
        }

    def unlike_template(self) -> str | None:
        """What differs between a conversation as it is trained on and as the chat template makes it; None if
        nothing does, or no template is used."""
        if not _uses_template(self.tokenizer, self.settings):
            return None
        tokens_of = partial(_ids, self.tokenizer)
        layout, options = self.layout, _template_options(self.tokenizer, self.settings.chat_options)
        with self._lock:
            told = self.tokenizer.apply_chat_template(  # type: ignore[attr-defined]  # not every tokenizer has it
                _conversation(*_SAID), tokenize=True, return_dict=False, **options
            )
            prompt, target = (
                tokens_of([text])[0] if place is None else place.tokens([text], tokens_of)[0]
                for text, place in zip(_SAID, (layout.prompt, layout.target), strict=True)
            )
        mine = [*layout.before_prompt, *prompt, *layout.after_prompt]
        mine += [*layout.before_target, *target, *layout.after_target]
        for place, (own, its) in enumerate(zip_longest(mine, told[: len(mine)])):
            if own != its:
                near = slice(max(place - 3, 0), place + 4)
                shown = [" ".join(self.tokenizer.convert_ids_to_tokens(ids[near])) for ids in (mine, told)]
                return (
                    f"token {place + 1} of {' '.join(_SAID)!r} is not as the chat template has it: "
                    f"{shown[0]!r} and {shown[1]!r}"
                )
        return None


_PROBE = "A dog; ein Hund; 一只狗; कुत्ता; 1234"
_SAID = ("What is there? Say it in German.", "Ein Hund im Gras.")
"""Question and answer of a conversation."""


def _ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of texts without any special ones."""
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)
    return [list(ids) for ids in encoded["input_ids"]]


def _prepends_space(tokenizer: Tokenizer) -> bool:
    """Whether a space is put before a text: SentencePiece's dummy prefix, or byte-level BPE's."""
    first = tokenizer.convert_ids_to_tokens(_ids(tokenizer, ["a"])[0])[:1]
    return bool(first) and str(first[0]).startswith(("▁", "Ġ"))


def _uses_template(tokenizer: Tokenizer, settings: TextSettings) -> bool:
    there = bool(getattr(tokenizer, "chat_template", None))
    return settings.decoder_only and there and settings.chat is not False


def layout_of(tokenizer: Tokenizer, settings: TextSettings, codes: Iterable[str] = ()) -> Layout:
    """What stands around prompts and targets of a tokenizer's model.

    Raises:
        TokenizerError: see `TextEncoder`.
    """
    end = (int(tokenizer.eos_token_id),)
    template = getattr(tokenizer, "chat_template", None) if settings.decoder_only else None
    if settings.chat and not template:
        raise TokenizerError(
            "the tokenizer has no chat template; leave it out"
            if settings.decoder_only
            else "an encoder-decoder's prompts have no chat template; leave it out",
            "chat",
        )
    if settings.chat_options and (not template or settings.chat is False):
        raise TokenizerError("no chat template is used that would take them; leave them out", "chat_options")
    if not settings.decoder_only:
        if hasattr(tokenizer, "src_lang"):
            return Layout(after_prompt=end, after_target=end, by_language=_language_ids(tokenizer, codes))
        before, after = _special_ids(tokenizer)
        return Layout(before, after or end, before, after or end)
    if _uses_template(tokenizer, settings):
        return _chat_layout(tokenizer, settings.chat_options)
    before, _ = _special_ids(tokenizer)
    tokens_of = partial(_ids, tokenizer)
    if _prepends_space(tokenizer) and (border := border_behind_texts(settings.separator, tokens_of)):
        return Layout(before, border.tokens, (), end, image_position=len(before), target=border.place)
    between = tuple(tokens_of([settings.separator])[0]) if settings.separator else ()
    return Layout(before, between, (), end, image_position=len(before))


def _special_ids(tokenizer: Tokenizer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The special tokens that a tokenizer puts before and after a text."""
    bare = _ids(tokenizer, ["a"])[0]
    whole = list(tokenizer("a", add_special_tokens=True)["input_ids"])
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return tuple(whole[:start]), tuple(whole[start + len(bare) :])
    raise TokenizerError(
        f"the tokenizer makes {bare} of 'a' and {whole} with special tokens, which do not stand around it"
    )


def _language_ids(tokenizer: Tokenizer, codes: Iterable[str]) -> Mapping[str, int]:
    unknown = getattr(tokenizer, "unk_token_id", None)
    found = {code: tokenizer.convert_tokens_to_ids(code) for code in sorted(set(codes))}
    for code, token in found.items():
        if token is None or token == unknown:
            raise TokenizerError(f"the tokenizer marks languages, but has no token for {code}")
    return MappingProxyType(found)


_DAY = datetime(2024, 7, 26, tzinfo=UTC)
"""Today, for templates that tell the model (Llama 3.2's, which has this day where it knows no other): a
prompt shall be the same tomorrow, when a run goes on or a checkpoint is asked."""


def _undated(template: str) -> str:
    """A chat template to which today is `_DAY`."""
    if "strftime_now" not in template:
        return template
    # The template's own environment gives it the clock, and lets no other function in.
    codes = [*(f"-{code}" for code in "dmHIMSyj"), *"aAbBcCdDeFGghHIjklmMnpPrRSsTuUVwWxXyYzZ"]
    written = "".join(f"|replace('%{code}', '{_DAY.strftime(f'%{code}')}')" for code in codes)
    return f"{{% macro strftime_now(format) %}}{{{{ format{written} }}}}{{% endmacro %}}{template}"


def _template_options(tokenizer: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the chat template is rendered with."""
    return {"chat_template": _undated(tokenizer.get_chat_template()), **options}


def _conversation(question: str, answer: str | None = None) -> list[dict[str, str]]:
    asked = [{"role": "user", "content": question}]
    return asked if answer is None else [*asked, {"role": "assistant", "content": answer}]


def _chat_layout(tokenizer: Any, options: Mapping[str, Any]) -> Layout:
    """The pieces of the template around the user's turn and the answer; pictures stand before the prompt."""
    question = _conversation(PLACE_OF_PROMPT)
    answer = _conversation(PLACE_OF_PROMPT, PLACE_OF_TARGET)
    try:
        options = _template_options(tokenizer, options)
        asked = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True, **options)
        answered = tokenizer.apply_chat_template(answer, tokenize=False, **options)
    except Exception as error:  # A template is a program; it may raise anything.
        failed = f"the chat template fails: {type(error).__name__}: {error}"
        raise TokenizerError(f"{failed}; set `chat: false`, or hand it other options", "chat") from error
    before, found, between = asked.partition(PLACE_OF_PROMPT)
    head, answered_too, after = answered.partition(PLACE_OF_TARGET)
    if not found or not answered_too or not head.startswith(asked):
        raise TokenizerError(
            "the chat template does not answer where it asks for an answer: it makes "
            f"{asked!r} of a question and {answered!r} of both; set `chat: false`, or hand it other options",
            "chat",
        )
    # What follows the end of the turn, a line break, is for the next turn.
    after = after.rstrip()
    end: tuple[int, ...] = (int(tokenizer.eos_token_id),)
    if _prepends_space(tokenizer) and (
        layout := _joined_layout(tokenizer, (before, between, head[len(asked) :], after), end)
    ):
        return layout
    pieces = [
        tuple(_ids(tokenizer, [text])[0]) if text else () for text in (before, between, head[len(asked) :])
    ]
    end = tuple(_ids(tokenizer, [after])[0]) if after else end
    return Layout(pieces[0], pieces[1], pieces[2], end, image_position=len(pieces[0]))


def _joined_layout(tokenizer: Any, pieces: tuple[str, str, str, str], end: tuple[int, ...]) -> Layout | None:
    """The layout of a chat template whose pieces have the tokens of the whole conversation; None where texts
    make one token with what stands around them.

    Args:
        pieces: before the prompt, between it and the answer, what an answer begins with, and behind it.
        end: where there is nothing behind it.
    """
    tokens_of = partial(_ids, tokenizer)
    before, between, begun, after = pieces
    prompt, target = border_behind(before, tokens_of), border_behind_texts(between + begun, tokens_of)
    if prompt is None or target is None:
        return None
    # What the template asks with, as far as it is not part of the answer's first token.
    asked = len(tokens_behind_texts(between, tokens_of)) if begun.strip(" ") else len(target.tokens)
    return Layout(
        prompt.tokens,
        target.tokens[:asked],
        target.tokens[asked:],
        tokens_behind_texts(after, tokens_of) if after else end,
        image_position=len(prompt.tokens),
        prompt=prompt.place,
        target=target.place,
    )
