"""Names of classes in many languages, in Babel-ImageNet's layout (https://github.com/gregor-ge/Babel-ImageNet).

The labels come from BabelNet, whose licence allows non-commercial use only, which a mix with them inherits.

`imagenet_alike.tsv` groups the classes of ImageNet-1k that one picture may show or be called by, though
they share no label (`laptop` and `notebook`, `desk` and `monitor`): WordNet's ids, the usual class indices,
and the first English word for the reader. Rows of origin `own` are a list of this project; those of origin
`real` are further pairs that stand together for 3 or more of the 50,000 validation pictures in the labels of
"Are we done with ImageNet?" (Beyer et al., 2020, https://github.com/google-research/reassessed-imagenet,
Apache-2.0).
"""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache, partial
from importlib.resources import files
from itertools import compress
from typing import TYPE_CHECKING, TypeVar

import orjson

from pipelines.inputs import Stamp, name_of, read_bytes, recent_stamp
from translation.class_names import ClassNamesError, babel_labels, class_index, in_script, is_name
from translation.languages import ENGLISH, UnknownLanguage, languages, resolve

if TYPE_CHECKING:
    from pipelines.recipe import Recipe

_OTHER_LANGUAGES = frozenset({"ALS"})
"""Codes that mean another language there than in the registry: Alemannic, not Albanian."""


class NamesError(ValueError):
    """A file of classes or of their names is not as it should be; `key` says which of the two."""

    def __init__(self, key: str, remedy: str) -> None:
        self.key = key
        super().__init__(remedy)


@dataclass(frozen=True)
class NameTable:
    """Class key -> NLLB code -> label."""

    labels: Mapping[str, Mapping[str, str]]
    synsets: Mapping[str, str] = field(default_factory=dict)
    """WordNet's id (`n01440764`) -> class key."""
    others: Mapping[str, Iterable[str]] = field(default_factory=dict)
    """Class key -> all labels that a class has, as `code:label`, also those that no language uses."""

    def keys(self) -> tuple[str, ...]:
        """The classes, in order."""
        return tuple(self.labels)

    def label(self, name: str, code: str) -> str | None:
        """The label of a class in a language; None where the table has none."""
        return self.labels.get(name, {}).get(code)

    def languages(self, name: str) -> frozenset[str]:
        """The NLLB codes of the languages that have a label for a class."""
        return frozenset(self.labels.get(name, {}))

    def counts(self) -> Mapping[str, int]:
        """NLLB code -> classes that have a label in it, in code order."""
        found = Counter(code for labels in self.labels.values() for code in labels)
        return dict(sorted(found.items()))

    def alike(self, name: str, other: str) -> bool:
        """Whether a picture of one class may show the other too.

        They are one, share a label in some language, capitals aside, or are in one group of ImageNet's
        classes (`imagenet_alike.tsv`), by WordNet's ids.
        """
        return name == other or other in self._sharing.get(name, ())

    @cached_property
    def _sharing(self) -> Mapping[str, frozenset[str]]:
        """Class key -> the other classes that share a label or a group with it."""
        classes: dict[str, set[str]] = defaultdict(set)
        for name, labels in self.labels.items():
            for code, label in labels.items():
                classes[_folded(code, label)].add(name)
        for name, further in self.others.items():
            for one in further:
                code, _, label = one.partition(":")
                classes[_folded(code, label)].add(name)
        sharing: dict[str, set[str]] = defaultdict(set)
        grouped = [{self.synsets[one] for one in group if one in self.synsets} for group in _groups()]
        for found in (*classes.values(), *grouped):
            for name in found if len(found) > 1 else ():
                sharing[name] |= found - {name}
        return {name: frozenset(found) for name, found in sharing.items()}


@cache
def _groups() -> tuple[tuple[str, ...], ...]:
    """WordNet's ids of the classes in each group of `imagenet_alike.tsv`."""
    text = files("pipelines").joinpath("imagenet_alike.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(tuple(row["synsets"].split()) for row in rows)


def _folded(code: str, label: str) -> str:
    return f"{code}:{unicodedata.normalize('NFC', label.casefold())}"


def names_of(recipe: Recipe, index: int) -> NameTable:
    """The names of the classes of a source with `classes` and `labels`, by its number in the recipe.

    English names are those of `classes`: BabelNet's are often Latin (`Tinca tinca` for a tench). A label is
    left out for a language whose script it is not written in: Latin ones for Serbian, traditional Chinese.

    Raises:
        SettingsError: one of the two files is not as it should be.
    """
    source = recipe.sources[index]
    places = [recipe.source_path(getattr(source, key)) for key in ("classes", "labels")]
    versions = [(place, recent_stamp(place)) for place in places]
    try:
        return _table(versions[0], versions[1])
    except NamesError as error:
        raise recipe.error(("sources", index, error.key), str(error)) from error


_Version = tuple[str, Stamp]
"""A file as it is now."""


@lru_cache(maxsize=16)
def _table(classes: _Version, labels: _Version) -> NameTable:
    index = _checked("classes", class_index, classes[0])
    english = {key: word for key, (_, word) in index.items()}
    found: dict[str, dict[str, str]] = {key: {ENGLISH: word} for key, word in english.items()}
    others: dict[str, set[str]] = defaultdict(set)
    babel = _checked("labels", partial(babel_labels, classes=len(index)), labels[0])
    named = {code: [(key, label) for key, label in one if is_name(label)] for code, one in babel.items()}
    for code, listed in sorted(named.items(), key=_own_code_first):
        for key, label in listed:
            others[key].add(f"{code}:{label}")
        for own in _languages_of(code):
            for key, label in _in_script(own, listed, english):
                found[key].setdefault(own, label)
    return NameTable(found, {synset: key for key, (synset, _) in index.items()}, others)


_Content = TypeVar("_Content")


def _checked(key: str, parsed: Callable[[object, str], _Content], place: str) -> _Content:
    """What a file holds; raises `NamesError`."""
    try:
        return parsed(_json(place, key), name_of(place))
    except ClassNamesError as error:
        raise NamesError(key, str(error)) from error


def _json(place: str, key: str) -> object:
    try:
        return orjson.loads(read_bytes(place))
    except OSError as error:
        raise NamesError(key, f"{place} cannot be read: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise NamesError(key, f"{name_of(place)} is no JSON: {error}") from error


def _languages_of(code: str) -> Iterator[str]:
    """The languages that a code means: one of them, in all scripts that the registry has it in."""
    if code in _OTHER_LANGUAGES:
        return
    try:
        meant = resolve(code).nllb.partition("_")[0]
    except UnknownLanguage:
        return
    yield from (own for own in languages() if own.partition("_")[0] == meant and own != ENGLISH)


def _own_code_first(listed: tuple[str, object]) -> tuple[bool, str]:
    """Where two codes mean one language, as KMR and KU: that which the registry has for it counts first."""
    code = listed[0]
    try:
        return resolve(code).bcp47.partition("-")[0] != code.casefold(), code
    except UnknownLanguage:
        return True, code


def _in_script(
    own: str, listed: Sequence[tuple[str, str]], english: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Classes and labels that are written in the script of a language (NLLB code)."""
    fitting = in_script(own, [label for _, label in listed], [english[key] for key, _ in listed])
    return compress(listed, fitting)
