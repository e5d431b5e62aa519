"""The one registry of languages, keyed by NLLB code (https://github.com/facebookresearch/flores/blob/main/flores200/README.md).

Every other module asks here for codes, names, scripts and sentence-final marks.
"""

from __future__ import annotations

import csv
import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

ENGLISH = "eng_Latn"

_UNSPACED_SCRIPTS = frozenset({"Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan"})
_RIGHT_TO_LEFT_SCRIPTS = frozenset({"Arabic", "Hebrew"})


@dataclass(frozen=True)
class Language:
    """One language in one script, as NLLB names it."""

    nllb: str
    """NLLB code: ISO 639-3 and ISO 15924, `deu_Latn`; Santali is `sat_Beng`, though written in Ol Chiki."""
    bcp47: str
    """Shortest BCP-47 tag: `de`, `zh-Hans`."""
    mc4: str | None
    """mC4/mT5 code, `iw` for Hebrew; None outside mC4."""
    name: str
    """The English name, the only one that prompts use; FLORES-200's outside the default mix."""
    autonym: str | None
    """Its name in itself, CLDR's; None where CLDR has none."""
    aliases: tuple[str, ...]
    """Other codes, macro codes and names (`_` for a space): `heb`, `zh-CN`, `Northern_Kurdish`."""
    scripts: tuple[str, ...]
    """Unicode script names (property `Script`, long form) of its letters: `('Han', 'Hiragana', 'Katakana')`.
    Shared letters such as Japanese `ー` have these scripts only by `Script_Extensions`."""
    mc4_share: float | None
    """Share of mC4 in percent; those of the 96 sum to 100."""
    sentence_marks: str
    """Characters that end a sentence, the usual one first; a run of them (`?!`, Amharic `፡፡`) is one end.
    Includes what people type instead (Armenian `:`, Punjabi `|`). Thai mostly ends sentences with none."""
    confusable: tuple[str, ...]
    """NLLB codes of the siblings that identification mistakes it for, in this script; symmetric."""
    default: bool
    """One of the 96 of the default mix."""

    @property
    def spaced(self) -> bool:
        """Words and sentences are written with spaces between them."""
        return not _UNSPACED_SCRIPTS & set(self.scripts)

    @property
    def right_to_left(self) -> bool:
        """Lines of it begin at the right."""
        return bool(_RIGHT_TO_LEFT_SCRIPTS & set(self.scripts))

    @property
    def english(self) -> bool:
        return self.nllb == ENGLISH


class UnknownLanguage(ValueError):
    """A code that the registry does not know; the message names the nearest valid ones."""

    def __init__(self, code: str, nearest: list[str]) -> None:
        self.code, self.nearest = code, nearest
        shown = code if len(code) <= 60 else f"{code[:60]}…"
        meant = f"; did you mean {', '.join(nearest)}?" if nearest else ""
        super().__init__(f"unknown language {shown!r}{meant} (`translate-mix languages` lists all)")

    def __reduce__(self) -> tuple[type[UnknownLanguage], tuple[str, list[str]]]:
        # Beam carries errors between processes by pickle, which would call the class with the message alone.
        return type(self), (self.code, self.nearest)


@cache
def languages() -> Mapping[str, Language]:
    """All known languages by NLLB code, the default ones and the rest of NLLB-200's, in code order."""
    text = files("translation").joinpath("languages.tsv").read_text(encoding="utf-8")
    rows = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return MappingProxyType({row["nllb_code"]: _parse(row) for row in rows})


def _parse(row: dict[str, str]) -> Language:
    return Language(
        nllb=row["nllb_code"],
        bcp47=row["bcp47"],
        mc4=row["mc4_code"] or None,
        name=row["name"],
        autonym=row["autonym"] or None,
        aliases=tuple(row["aliases"].split()),
        scripts=tuple(row["scripts"].split()),
        mc4_share=float(row["mc4_share_percent"]) if row["mc4_share_percent"] else None,
        sentence_marks=row["sentence_marks"],
        confusable=tuple(row["confusable"].split()),
        default=row["default"] == "1",
    )


@cache
def default_languages() -> tuple[Language, ...]:
    """The 96 of the default mix, English among them, in code order."""
    return tuple(language for language in languages().values() if language.default)


def resolve(code: str) -> Language:
    """The language that a code means: NLLB, BCP-47, mC4, an alias, a macro code, or its name in English or in
    itself.

    Case, accents, and whether parts are joined by `-`, `_` or a space, make no difference.

    Raises:
        UnknownLanguage: no language has this code.
    """
    key = _fold(code)
    language = _codes().get(key)
    if language is None:
        raise UnknownLanguage(code, _nearest(key))
    return language


@cache
def _codes() -> Mapping[str, Language]:
    """Every spelling that `resolve` accepts, folded, to its language."""
    own = [(_fold(one.autonym), one) for one in languages().values() if one.autonym]
    shared = Counter(name for name, _ in own)
    by_autonym = {name: language for name, language in own if shared[name] == 1}
    others = {_fold(spelling): one for one in languages().values() for spelling in _spellings(one)}
    return MappingProxyType(by_autonym | others)


def _spellings(language: Language) -> Iterator[str]:
    yield from (language.nllb, language.bcp47, language.name, *language.aliases)
    if language.mc4:
        yield language.mc4
    # A bare code may name its script too, as data sets do for macro codes: `srp-Cyrl`, `aze-Latn`, `zh-Hans`.
    script = language.nllb.partition("_")[2]
    for code in (language.bcp47, language.mc4, *language.aliases):
        if code and re.fullmatch("[a-z]{2,3}", code):
            yield f"{code}_{script}"


def _fold(code: str) -> str:
    """One form of a code or name: `ZH-Hans` → `zh_hans`, `Norwegian Bokmål` → `norwegian_bokmal`."""
    letters = unicodedata.normalize("NFKD", code.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")).casefold()
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[\s_-]+", "_", bare.strip())


def _nearest(key: str) -> list[str]:
    """At most three NLLB codes for a folded key: its language in other scripts, then close spellings."""
    table = _codes()
    stem = table.get(key.partition("_")[0])
    same = [code for code in languages() if stem and code[:4] == stem.nllb[:4]]
    # The length bound keeps a text of any size, handed in by mistake, from being compared letter by letter.
    close = difflib.get_close_matches(key[:60], table, n=12, cutoff=0.6)
    return list(dict.fromkeys([*same, *(table[spelling].nllb for spelling in close)]))[:3]
