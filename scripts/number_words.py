"""Builds `translation/number_words.tsv`: how the languages spell their numbers, from CLDR's spell-out rules.

    python -m scripts.number_words --cache build/cldr --output translation/number_words.tsv

Fetches two npm packages by name. `cldr-rbnf` has the rules (rule-based number formats,
https://www.unicode.org/reports/tr35/tr35-numbers.html#Rule-Based_Number_Formatting); all genders, cases and
variants of the cardinals of 0 to 100, the hundreds and a thousand are spelled with them, less those that are
tens and a unit side by side (`twenty-one`). `cldr-numbers-full` has the words of compact notation: thousand,
million, lakh, 万. Languages without spell-out rules are listed in the end.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from scripts.cldr import fetch, locale, parsed_options, tsv, write
from translation.languages import Language, default_languages

CORRECTIONS = {"npi_Deva": {"करोड": 10**7}, "ben_Beng": {"কো": 10**7, "শত কো": 10**9, "লা কো": 10**12}}
"""Compact notation that CLDR gives a wrong power of ten (`1 crore` for a million), and the right one."""

VALUES = (*range(101), *range(200, 1000, 100), 1000)
UNITS = {"km", "mm", "cm", "kg"}
"""Units that are abbreviations of compact notation too (Catalan `km`, a thousand million)."""

HOMOGRAPHS: Mapping[str, str] = {"npi_Deva": "छ", "vie_Latn": "năm"}
"""Number words that are more often another word (Vietnamese `năm`, year)."""

COLUMNS = ("nllb_code", "value", "words", "homographs")


class NotSpelled(ValueError):
    """The rules write this number with digits, or in a form that depends on what is counted."""


@dataclass(frozen=True)
class Rule:
    """One rule of a set: from `base` on, until the next rule."""

    base: int
    divisor: int
    """What `←…←` divides by and what `→…→` keeps the remainder of."""
    body: str


@dataclass(frozen=True)
class RuleSets:
    """The spell-out rules of one locale: `%spellout-cardinal-feminine` and more, `%%` ones for inner use."""

    sets: Mapping[str, list[Rule]]

    @cached_property
    def cardinals(self) -> list[str]:
        return [
            name
            for name in self.sets
            if name == "%spellout-numbering"
            or name.startswith(("%spellout-cardinal", "%spellout-numbering-"))
            if not name.endswith("-year")
        ]

    def spell(self, value: int, name: str) -> str:
        """A number in words.

        Raises:
            NotSpelled: the rules have no words for it.
        """
        rules = self.sets[name]
        at = max((index for index, rule in enumerate(rules) if rule.base <= value), default=None)
        if at is None:
            raise NotSpelled(f"{name} starts above {value}")
        rule = rules[at]
        # ICU's rollback: `101: ←← hundred →→` must not say "two hundred zero".
        if at and "→" in rule.body and value % rule.divisor == 0 and rule.base % rule.divisor:
            rule = rules[at - 1]
        return self._render(rule, value, name)

    def bare(self, value: int, name: str) -> str:
        """The word for a unit without its count: `hundred` of `one hundred`; empty without such a rule."""
        for rule in self.sets[name]:
            if rule.base == rule.divisor == value and "←" in rule.body:
                body = re.sub(r"←[^←]*←", "", _optional(rule.body, whole=True))
                return "" if "=" in body or "→" in body else _plural(body, 1)
        return ""

    def _render(self, rule: Rule, value: int, name: str) -> str:
        count, rest = divmod(value, rule.divisor)
        whole = rest == 0 and rule.base > 0 and rule.base % rule.divisor == 0
        body = _plural(_optional(rule.body, whole=whole), count)

        def substituted(match: re.Match[str]) -> str:
            part = {"←": count, "→": rest, "=": value}[match[1]]
            target = match[2] or name
            if not target.startswith("%") or (match[1] == "=" and not match[2]) or match[0].startswith("→→→"):
                raise NotSpelled(f"digits in {rule.body!r}")
            return self.spell(part, target)

        return re.sub(r"([←→=])([^←→=]*)\1(?:(?<=→→)→)?", substituted, body)


def _optional(body: str, *, whole: bool) -> str:
    """Without the brackets: `[a]` is left out where nothing remains, `[a|b]` is b there."""
    return re.sub(r"\[([^\[\]|]*)(?:\|([^\[\]]*))?\]", lambda m: (m[2] or "") if whole else m[1], body)


def _plural(body: str, count: int) -> str:
    """`$(cardinal,one{…}other{…})$` for one; other counts need each language's plural rules."""

    def chosen(match: re.Match[str]) -> str:
        forms = dict(re.findall(r"(\w+)\{([^{}]*)\}", match[1]))
        if count != 1 and len(set(forms.values())) > 1:
            raise NotSpelled(f"plural in {body!r}")
        return str(forms.get("one", forms["other"]))

    return re.sub(r"\$\(cardinal,(.*?)\)\$", chosen, body)


def read_rules(path: Path) -> RuleSets:
    """The rule sets of one `rbnf/<locale>.json`."""
    table = json.loads(path.read_text(encoding="utf-8"))["rbnf"]["rbnf"].get("SpelloutRules", {})
    sets = {}
    for name, rules in table.items():
        if not name.startswith("%") or "lenient-parse" in name:
            continue
        parsed = [_rule(key, body) for key, body in rules if re.fullmatch(r"[\d,]+(/[\d,]+)?>*", key)]
        sets[name] = sorted(parsed, key=lambda rule: rule.base)
    return RuleSets(sets)


def _rule(key: str, body: str) -> Rule:
    number, _, radix = key.rstrip(">").partition("/")
    base, root = int(number.replace(",", "")), int(radix.replace(",", "") or 10)
    divisor = 1
    while divisor * root <= base:
        divisor *= root
    divisor //= root ** (len(key) - len(key.rstrip(">")))
    return Rule(base, divisor, body.removesuffix(";").removeprefix("'"))


def spelled(rules: RuleSets) -> Iterator[tuple[int, str]]:
    """(value, words) of all cardinals of a locale."""
    for name in rules.cardinals:
        for value in VALUES:
            try:
                yield value, rules.spell(value, name)
            except NotSpelled:
                continue
        for value in (100, 1000):
            yield value, rules.bare(value, name)


def scales(numbers: Mapping[str, Mapping[str, Mapping[str, Mapping[str, str]]]]) -> Iterator[tuple[int, str]]:
    """(value, word) of the compact notation of a locale: (1000000, `Million`), (10000, `万`)."""
    formats = numbers["decimalFormats-numberSystem-latn"]
    for length in ("long", "short"):
        for key, pattern in formats[length]["decimalFormat"].items():
            pattern = pattern.partition(";")[0]
            zeros = pattern.count("0")
            word = re.sub(r"[0'.\u00a0\u200e\u200f-]", " ", pattern).strip()
            # One letter (`5M`) is a metre as well as a million.
            if zeros and word and not (len(word) == 1 and word.lower() != word.upper()):
                yield int(key.partition("-")[0]) // 10 ** (zeros - 1), word


def clean(words: str) -> str:
    """NFC, in lower case, without soft hyphens and doubled spaces."""
    return " ".join(unicodedata.normalize("NFC", words.replace("\u00ad", "").casefold()).split())


def words_of(language: Language, rbnf: Path, numbers: Path) -> dict[int, list[str]]:
    """Value -> spellings of a language, in the order of CLDR; regional ones (`fr-CH`) too."""
    found: dict[int, dict[str, None]] = defaultdict(dict)
    tag = locale(language)
    for path in (rbnf / f"{tag}.json", *sorted(rbnf.glob(f"{tag}-*.json"))):
        # A script of four letters (`zh-Hant`) is another language's.
        if path.exists() and len(path.stem.rpartition("-")[2]) != 4:
            for value, text in spelled(read_rules(path)):
                found[value][clean(text)] = None
    compact = numbers / tag / "numbers.json"
    if compact.exists():
        for value, text in scales(json.loads(compact.read_text(encoding="utf-8"))["main"][tag]["numbers"]):
            word = clean(text)
            if word not in UNITS:
                found[CORRECTIONS.get(language.nllb, {}).get(word, value)][word] = None
    words = {
        value: [word for word in spellings if word and not re.search(r"[\d=#←→\[\]|%]", word)]
        for value, spellings in sorted(found.items())
    }
    tens = {word for value in range(20, 91, 10) for word in words.get(value, ())}
    units = {word for value in range(1, 10) for word in words.get(value, ())}

    def told_by_its_parts(word: str) -> bool:
        """`двадцать один`: whoever reads twenty and one can add them."""
        parts = re.split("[ -]", word)
        return len(parts) == 2 and parts[0] in tens and parts[1] in units

    return {
        value: kept
        for value, spellings in words.items()
        if (kept := [word for word in spellings if not told_by_its_parts(word)])
    }


def table(languages: Iterable[Language], rbnf: Path, numbers: Path) -> tuple[str, list[str]]:
    """The TSV, and the languages without the numbers from two on."""
    rows, without = [], []
    for language in languages:
        words = words_of(language, rbnf, numbers)
        if 2 not in words:
            without.append(language.nllb)
        doubtful = set(HOMOGRAPHS.get(language.nllb, "").split())
        for value, spellings in words.items():
            homographs = "|".join(word for word in spellings if word in doubtful)
            rows.append((language.nllb, value, "|".join(spellings), homographs))
    return tsv(COLUMNS, rows), without


def main() -> None:
    options = parsed_options(__doc__, "number_words.tsv")
    rbnf, numbers = (fetch(name, options.cache) for name in ("cldr-rbnf", "cldr-numbers-full"))
    text, without = table(default_languages(), rbnf / "rbnf", numbers / "main")
    write(options.output, text)
    print(f"without number words ({len(without)}): {' '.join(without)}")


if __name__ == "__main__":
    main()
