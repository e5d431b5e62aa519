"""Vocabulary shortlists: which entries of the vocabulary the translations into a language may use.

More than half of the time on a CPU goes into scores for all of NLLB's 256,206 entries, of which one language
needs a tenth. CTranslate2 leaves the others out by the vocabulary map of a model (`vmap.txt`: source tokens,
then the target tokens that they allow; a batch may use what any of its sources allows). The map here has

- the entries that every batch may use: control tokens and language codes, first in the vocabulary (see
  `in_front`);
- a list for each target language, in two parts: what it has alone, and what all lists of languages in the
  same scripts have; each under a token that no text holds (`marks`);
- for every other entry itself, so that names and numbers of the sources can be copied.

A source sequence of NLLB does not say the target language; marks do: CTranslate2 looks a source up in the map
before it cuts it to `max_input_length`, so marks behind the end of the longest source of a batch choose its
list, and the encoder never sees them. `Decoder` puts them there; `Engine` sees that they work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from translation.languages import languages
from translation.model import LISTS, ModelDescription, ModelError
from translation.tokenizer import CONTROL, END
from translation.translations import Decoding

VOCABULARY = "shared_vocabulary.json"
VOCABULARY_MAP, SHORTLISTS = LISTS

_MARK = "list:"
"""Begins the tokens under which lists stand in the map. SentencePiece makes none of them of a text: where a
piece holds a space, it writes `▁`, and no piece of a vocabulary with such a token in it gets a map."""


@dataclass(frozen=True)
class Shortlist:
    """What is known of one language's list."""

    language: str
    """NLLB code of the target."""
    tokens: int
    """Entries of the list; 0 where the language has none and uses the whole vocabulary."""
    texts: int
    """Texts in the language that it was built from."""
    sample: int
    """Texts whose translations with the list and with the whole vocabulary were compared."""
    agreement: float | None
    """Share of them (0..1) that are the same, character for character."""
    chrf_difference: float | None
    """100 minus the chrF of the translations with the list against those with the whole vocabulary."""
    refused: str
    """Why it has no list; empty where it has one."""


@dataclass(frozen=True)
class ShortlistReport:
    """The content of `shortlists.json`."""

    vocabulary: int
    """Entries of the model's vocabulary."""
    always: int
    """Entries that are in every list: control tokens, language codes."""
    least_agreement: float
    """A language below it was left without a list."""
    decoding: Decoding
    """That the translations were compared with."""
    lists: tuple[Shortlist, ...]
    """In the order of their codes."""

    @property
    def languages(self) -> frozenset[str]:
        """Those that have a list."""
        return frozenset(shortlist.language for shortlist in self.lists if shortlist.tokens)


def marks(language: str) -> list[str]:
    """The tokens to put behind the end of a source so that its batch may use the list of a language.

    Two, for its parts. Of a single one behind `</s>` CTranslate2 would believe that it is a language code,
    and keep it.
    """
    return [f"{_MARK}{language}", f"{_MARK}{'+'.join(languages()[language].scripts)}"]


def read_shortlists(directory: Path, description: ModelDescription) -> ShortlistReport | None:
    """The lists that belong to a model; None where it has none.

    Raises:
        ModelError: `shortlists.json` is not what `write_shortlists` writes.
    """
    if not description.shortlist_digest:
        return None
    path = directory / SHORTLISTS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        lists = tuple(Shortlist(**entry) for entry in content.pop("lists"))
        decoding = Decoding(**content.pop("decoding"))
        return ShortlistReport(**content, decoding=decoding, lists=lists)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"{path}: not a report on shortlists: {error}; build them with `translate-mix model shortlist`"
        ) from error


def write_shortlists(
    directory: Path, vocabulary: Sequence[str], lists: Mapping[str, Iterable[str]], report: ShortlistReport
) -> ShortlistReport:
    """Writes `vmap.txt` and `shortlists.json`; returns the report with the sizes of the lists.

    Args:
        vocabulary: in the order of `in_front`.
        lists: by language, of those that have one; what is not in the vocabulary is left out.
    """
    always = in_front(vocabulary)
    rest = [token for token in vocabulary[len(always) :] if _can_stand(token)]
    parts: dict[str, frozenset[str]] = {}
    listed = {code: frozenset(rest).intersection(tokens) for code, tokens in sorted(lists.items())}
    for code, tokens in listed.items():
        shared = marks(code)[1]
        parts[shared] = parts.get(shared, tokens) & tokens
    for code, tokens in listed.items():
        own, shared = marks(code)
        parts[own] = tokens - parts[shared]
    lines = ["\t" + " ".join(always)]
    for mark, part in sorted(parts.items()):
        lines.append(f"{mark}\t{' '.join(token for token in rest if token in part)}")
    lines += [f"{token}\t{token}" for token in rest]
    (directory / VOCABULARY_MAP).write_bytes("".join(f"{line}\n" for line in lines).encode())
    sized = (replace(one, tokens=len(listed.get(one.language, ()))) for one in report.lists)
    report = replace(report, lists=tuple(sized))
    text = json.dumps(asdict(report), indent=1, ensure_ascii=False)
    (directory / SHORTLISTS).write_text(text + "\n", encoding="utf-8")
    return report


def read_lists(directory: Path, codes: Iterable[str]) -> dict[str, frozenset[str]]:
    """The tokens of the lists of some languages, as `write_shortlists` takes them.

    Raises:
        ModelError: the map cannot be read, or lacks one of them.
    """
    path = directory / VOCABULARY_MAP
    parts: dict[str, frozenset[str]] = {}
    try:
        for line in path.read_text(encoding="utf-8").split("\n"):
            mark, _, tokens = line.partition("\t")
            if mark.startswith(_MARK):
                parts[mark] = frozenset(tokens.split(" ")) - {""}
        return {code: parts[own] | parts[shared] for code in codes for own, shared in [marks(code)]}
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path}: not a map of lists: {error}; build them with `translate-mix model shortlist`"
        ) from error


def in_front(vocabulary: Iterable[str]) -> list[str]:
    """What has to be first in the vocabulary of a model with lists: control tokens, then language codes.

    CTranslate2 (4.8.5) remembers where the prefix, `</s>` and `<unk>` stand among the entries that are left,
    and does not forget it from one list to the next (`Decoder::update_output_layer` adds to what it knows):
    translations begin with other languages, or it stops with an error. With all of these in every list, and
    first, they always stand at the same place.
    """
    there = list(vocabulary)
    codes = languages().keys()
    return [token for token in there if token in CONTROL] + [token for token in there if token in codes]


def is_ordered(vocabulary: Sequence[str]) -> bool:
    """Do the entries that have to be first stand there?"""
    front = in_front(vocabulary)
    return list(vocabulary[: len(front)]) == front


def read_vocabulary(directory: Path) -> list[str]:
    """The entries of a model's vocabulary.

    Raises:
        ModelError: no such file, or one that no map can be made for.
    """
    path = directory / VOCABULARY
    try:
        vocabulary = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a vocabulary: {error}; convert the model again") from error
    if not isinstance(vocabulary, list) or not all(isinstance(token, str) for token in vocabulary):
        raise ModelError(f"{path}: not a list of tokens; convert the model again")
    if END not in vocabulary:
        raise ModelError(f"{path}: has no {END}; not an NLLB-format model")
    marked = [token for token in vocabulary if token.startswith(_MARK)]
    if marked:
        raise ModelError(
            f"{path}: {marked[0]!r} would be taken for the mark of a list; no lists for this model"
        )
    return vocabulary


def _can_stand(token: str) -> bool:
    """Can it be written in the map, whose fields end in white space?"""
    return bool(token) and not any(character in token for character in " \t\n\r")
