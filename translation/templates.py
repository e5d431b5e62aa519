"""The prompts that examples get: one table (`templates.yaml`), one deterministic choice per example."""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, TypeVar

import yaml

from translation.languages import ENGLISH, Language, UnknownLanguage, languages, resolve

TABLE = "templates.yaml"
TARGET_LANGUAGE = "target"
"""`prompt_language` of a template without words of its own: the prompt is wholly in the target's language."""

ORIGINS = ("paper", "own")
OWN_TRANSLATION = "own-translation"
"""`origin` of a template in the target's language."""

SENTENCES = frozenset({"question", "caption", "statement", "hypothesis"})
"""Slots that hold a whole sentence, which may come without a mark at its end."""
SLOTS = SENTENCES | {"answer", "label", "beginning"}

_FAMILY_KEYS = ("slot", "answers", "own_share", "english", "wordless", "translated", "targets")
_ENTRY_KEYS = ("id", "text", "origin")
_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*$")

_GOES_ON = frozenset(",:-–—/\\*_#&@%")
"""Punctuation that ends no sentence; a semicolon does in Greek."""

_Entry = TypeVar("_Entry")


class TemplateError(ValueError):
    """A table that breaks its rules; the message names the family, the template and what is wrong."""


@dataclass(frozen=True, slots=True)
class Template:
    """One wording of a prompt."""

    id: str
    family: str
    text: str
    """`{language}` and the slot (`{question}`, ...) get replaced."""
    prompt_language: str
    """NLLB code of its words, or `TARGET_LANGUAGE`."""
    origin: str
    """`paper`, `own`, or `own-translation` for one in another language than English."""
    slot: str | None
    """What its slot holds, one of `SLOTS`; None without one."""
    source: str
    """Id of the English template that it says the same as; its own unless it is a translation."""

    def fill(self, language: Language, slot: str | None) -> str:
        """The prompt for a target in `language`; whatever the slot holds stays as it is.

        Words of the template start a new line behind a sentence that has no mark at its end, and stand apart
        from one of several lines, which may be code or a table. Quotation marks around one that has some
        itself become typographic.

        Raises:
            ValueError: the template has a slot and there is nothing for it.
        """
        if self.slot is None:
            return _filled(self.text, {"language": language.name})
        if slot is None:
            raise ValueError(
                f"template {self.id!r} of family {self.family!r} needs a {self.slot}, there is none"
            )
        text, place = self.text, f"{{{self.slot}}}"
        if '"' in slot:
            text = text.replace(f'"{place}"', f"“{place}”")
        if self.slot in SENTENCES and "\n" in slot:
            text = text.replace(f" {place}", f"\n\n{place}").replace(f"{place} ", f"{place}\n\n")
        elif self.slot in SENTENCES and slot and not _ends(slot):
            text = text.replace(f"{place} ", f"{place}\n")
        return _filled(text, {"language": language.name, self.slot: slot})


@dataclass(frozen=True, slots=True)
class Wording:
    """One English wording of a target that is made of a rationale and the answer it leads to."""

    id: str
    family: str
    text: str
    origin: str

    def fill(self, rationale: str, answer: str) -> str:
        """The English target, in which the rationale ends like a sentence, the answer without a full stop."""
        reason = rationale.strip()
        if not _SENTENCE_END.search(reason):
            reason = reason.rstrip(",;: ") + "."
        return _filled(self.text, {"rationale": reason, "answer": answer.strip().removesuffix(".")})


@dataclass(frozen=True, slots=True)
class Family:
    """The templates of a task, or of a part of one."""

    name: str
    slot: str | None
    answers: tuple[str, ...]
    """The English words that the target is one of; empty where it is anything."""
    own_share: float | None
    """Share of the prompts without English words where there may be such; None leaves it to the recipe."""
    english: tuple[Template, ...]
    wordless: tuple[Template, ...]
    translated: Mapping[str, tuple[Template, ...]]
    """NLLB code -> templates in that language."""
    targets: tuple[Wording, ...]

    def in_language(self, language: str, slot_language: str | None) -> tuple[Template, ...]:
        """Those for a prompt wholly in `language`, which is not English; none if the slot is in another."""
        if language == ENGLISH or slot_language not in (None, language):
            return ()
        return self.wordless + self.translated.get(language, ())


def families() -> Mapping[str, Family]:
    """All families by name, in the table's order."""
    return _table()


def family(name: str) -> Family:
    """One family of templates.

    Raises:
        ValueError: there is none of that name.
    """
    found = _table().get(name)
    if found is None:
        raise ValueError(f"no prompt templates for {name!r}; {TABLE} has {', '.join(_table())}")
    return found


def template(template_id: str) -> Template:
    """The template of an id, of whatever family and language.

    Raises:
        ValueError: there is none; the message names the nearest ones.
    """
    found = _by_id().get(template_id)
    if found is None:
        near = difflib.get_close_matches(template_id, _by_id(), n=3)
        meant = f"; did you mean {', '.join(near)}?" if near else f"; {TABLE} has all of them"
        raise ValueError(f"no prompt template {template_id!r}{meant}")
    return found


@cache
def _by_id() -> Mapping[str, Template]:
    return MappingProxyType(
        {
            one.id: one
            for body in _table().values()
            for options in (body.english, body.wordless, *body.translated.values())
            for one in options
        }
    )


def choose(
    family_name: str,
    language: str,
    slot_language: str | None,
    seed: int,
    example_id: str,
    translated_share: float = 0.5,
) -> Template:
    """The template of one example: a function of its arguments alone, uniform over those that may serve.

    `language` is the NLLB code of the target, `slot_language` that of what will stand in the slot (English or
    the target's, any if the target is English, None without a slot). With probability `translated_share`, or
    the family's own share, the prompt is wholly in the target's language, where the family has a template for
    that and the slot is in it.

    Raises:
        ValueError: no such family, a slot language without a slot or the other way round, a third language in
            the slot, or a share outside 0..1.
    """
    options = family(family_name)
    if (slot_language is None) != (options.slot is None):
        needs = f"has the slot {options.slot!r}" if options.slot else "has no slot"
        raise ValueError(f"family {family_name!r} {needs}, but the slot's language is {slot_language!r}")
    if slot_language not in (None, ENGLISH, language) and language != ENGLISH:
        raise ValueError(
            f"family {family_name!r}: a slot in {slot_language} for a target in {language};"
            f" it must be in that language or in {ENGLISH}"
        )
    if not 0 <= translated_share <= 1:
        raise ValueError(f"the share of translated templates is {translated_share}, it must be within 0..1")
    digest = _digest(seed, "template", family_name, example_id)
    in_language = options.in_language(language, slot_language)
    share = translated_share if options.own_share is None else options.own_share
    # Other bytes than the choice among templates takes, so that the two are independent.
    if in_language and int.from_bytes(digest[8:16], "big") < share * 2**64:
        return _pick(in_language, digest)
    return _pick(options.english, digest)


def source_of(template: Template) -> Template:
    """The English template of a translated one, for the English prompt of a row; any other is its own."""
    return next((one for one in family(template.family).english if one.id == template.source), template)


def target_wording(family_name: str, seed: int, example_id: str) -> Wording:
    """How the English target of one example is put together: a function of its arguments, uniform.

    Raises:
        ValueError: no such family, or its targets are not put together.
    """
    options = family(family_name).targets
    if not options:
        having = ", ".join(name for name, one in _table().items() if one.targets)
        raise ValueError(f"family {family_name!r} has no wordings of targets; {having} has")
    return _pick(options, _digest(seed, "target", family_name, example_id))


def _ends(sentence: str) -> bool:
    """Whether it ends in a mark behind which another sentence may stand, of whatever script."""
    return unicodedata.category(sentence[-1])[0] == "P" and sentence[-1] not in _GOES_ON


def _digest(seed: int, kind: str, family_name: str, example_id: str) -> bytes:
    return hashlib.sha256(f"{seed}\x1f{kind}\x1f{family_name}\x1f{example_id}".encode()).digest()


def _pick(options: Sequence[_Entry], digest: bytes) -> _Entry:
    return options[int.from_bytes(digest[:8], "big") % len(options)]


def _filled(text: str, values: Mapping[str, str]) -> str:
    # In one pass: what was filled in is never looked at again, whatever braces it holds.
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


@cache
def _table() -> Mapping[str, Family]:
    return parse(files("translation").joinpath(TABLE).read_text(encoding="utf-8"))


def parse(text: str) -> Mapping[str, Family]:
    """The families of a table as its header describes it, in order.

    Raises:
        TemplateError: a key, id, language or placeholder is unknown, missing, or there twice.
    """
    content = yaml.load(text, Loader=_UniqueKeys)
    table = {
        name: _family(name, _mapping(f"family {name!r}", body))
        for name, body in _mapping("the table", content).items()
    }
    seen: dict[str, str] = {}
    for one in table.values():
        translated = [template for options in one.translated.values() for template in options]
        entries: list[Template | Wording] = [*one.english, *one.wordless, *translated, *one.targets]
        for entry in entries:
            if entry.id in seen:
                raise TemplateError(
                    f"{TABLE}: id {entry.id!r} is there twice: {seen[entry.id]!r}, {entry.text!r}"
                )
            seen[entry.id] = entry.text
    return MappingProxyType(table)


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that is there twice is an error, not the end of the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise TemplateError(f"{TABLE}, line {key_node.start_mark.line + 1}: {key!r} is there twice")
            seen.add(key)
        return super().construct_mapping(node, deep)


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TemplateError(f"{TABLE}: {where} holds {value!r}, where keys and values belong")
    return value


def _known_keys(where: str, keys: Iterable[str], known: Sequence[str]) -> None:
    unknown = [key for key in keys if key not in known]
    if unknown:
        raise TemplateError(f"{TABLE}: {where}: unknown key {unknown[0]!r}; known are {', '.join(known)}")


def _family(name: str, body: dict[str, Any]) -> Family:
    where = f"family {name!r}"
    _known_keys(where, body, _FAMILY_KEYS)
    slot, share = body.get("slot"), body.get("own_share")
    if slot is not None and slot not in SLOTS:
        raise TemplateError(f"{TABLE}: {where}: unknown slot {slot!r}; known are {', '.join(sorted(SLOTS))}")
    if share is not None and not (isinstance(share, int | float) and 0 <= share <= 1):
        raise TemplateError(f"{TABLE}: {where}: own_share is {share!r}, it must be a number within 0..1")
    slots = (slot,) if slot else ()

    def template(language: str, *placeholders: str) -> Callable[[str, str, str], Template]:
        def make(id: str, text: str, origin: str) -> Template:
            _check_placeholders(id, text, (*placeholders, *slots))
            return Template(id, name, text, language, origin, slot, source=id)

        return make

    def wording(id: str, text: str, origin: str) -> Wording:
        _check_placeholders(id, text, ("rationale", "answer"))
        return Wording(id, name, text, origin)

    english = _entries(name, body.get("english"), template(ENGLISH, "language"))
    wordless = _entries(name, body.get("wordless"), template(TARGET_LANGUAGE))
    answers = tuple(body.get("answers", ()))
    for word in answers:
        # YAML reads a bare `yes` or `no` as a truth value.
        if not isinstance(word, str):
            raise TemplateError(f"{TABLE}: {where}: answers holds {word!r}, not a text")
    if not english:
        raise TemplateError(f"{TABLE}: {where} has no English templates")
    for one in english:
        missing = [
            word for word in answers if not re.search(rf"\b{re.escape(word)}\b", one.text, re.IGNORECASE)
        ]
        if missing:
            raise TemplateError(f"{TABLE}: template {one.id!r} does not say that {missing[0]!r} is an answer")
    for one in wordless:
        if not slot or one.text != f"{{{slot}}}":
            raise TemplateError(f"{TABLE}: template {one.id!r} is wordless, but has words: {one.text!r}")
    return Family(
        name=name,
        slot=slot,
        answers=answers,
        own_share=share,
        english=english,
        wordless=wordless,
        translated=_translations(where, body.get("translated", {}), english),
        targets=_entries(name, body.get("targets"), wording),
    )


def _entries(name: str, listed: Any, make: Callable[[str, str, str], _Entry]) -> tuple[_Entry, ...]:
    entries: list[_Entry] = []
    for item in listed or ():
        entry = _mapping(f"a template of family {name!r}", item)
        where = f"template {entry.get('id')!r} of family {name!r}"
        _known_keys(where, entry, _ENTRY_KEYS)
        for key in _ENTRY_KEYS:
            if not isinstance(entry.get(key), str):
                raise TemplateError(f"{TABLE}: {where}: {key} is {entry.get(key)!r}, it must be a text")
        if not re.fullmatch(rf"{re.escape(name)}(-[a-z]+)+", entry["id"]):
            raise TemplateError(f"{TABLE}: {where}: the id must be {name}-words-like-these")
        if entry["origin"] not in ORIGINS:
            raise TemplateError(
                f"{TABLE}: {where}: origin {entry['origin']!r} is none of {', '.join(ORIGINS)}"
            )
        entries.append(make(entry["id"], entry["text"], entry["origin"]))
    return tuple(entries)


def _translations(where: str, listed: Any, english: Sequence[Template]) -> Mapping[str, tuple[Template, ...]]:
    sources = {template.id: template for template in english}
    table: dict[str, tuple[Template, ...]] = {}
    for code, texts in _mapping(f"{where}: translated", listed).items():
        if code not in languages() or code == ENGLISH:
            raise TemplateError(f"{TABLE}: {where}: translated: {_not_a_code(code)}")
        options: list[Template] = []
        for source_id, text in _mapping(f"{where}: {code}", texts).items():
            source = sources.get(source_id)
            if source is None:
                raise TemplateError(f"{TABLE}: {where}: {code}: {source_id!r} is no English template of it")
            if not isinstance(text, str):
                raise TemplateError(f"{TABLE}: {where}: {code}: {source_id} is {text!r}, it must be a text")
            id = f"{source_id}-{code}"
            _check_placeholders(id, text, (source.slot,) if source.slot else ())
            options.append(Template(id, source.family, text, code, OWN_TRANSLATION, source.slot, source_id))
        table[code] = tuple(options)
    return MappingProxyType(table)


def _not_a_code(code: str) -> str:
    if code == ENGLISH:
        return f"{ENGLISH} belongs under `english`"
    try:
        return f"{code!r} is no NLLB code, it is {resolve(str(code)).nllb}"
    except UnknownLanguage as error:
        return str(error)


def _check_placeholders(id: str, text: str, expected: Sequence[str]) -> None:
    """Each of the expected placeholders must be there once, and no other brace."""
    found = _PLACEHOLDER.findall(text)
    for name in expected:
        if found.count(name) != 1:
            raise TemplateError(
                f"{TABLE}: template {id!r} has {{{name}}} {found.count(name)} times, not once: {text!r}"
            )
    unknown = [name for name in found if name not in expected]
    if unknown:
        raise TemplateError(f"{TABLE}: template {id!r}: {{{unknown[0]}}} means nothing there: {text!r}")
    if re.search("[{}]", _PLACEHOLDER.sub("", text)):
        raise TemplateError(f"{TABLE}: template {id!r} has a brace that belongs to no placeholder: {text!r}")
