"""What is fitted, reported and learnt from never shares a text."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.references import FIT, LEARN, PARTS, REPORT, Reference, ntrex, part_of, references
from translation.filters import TextPair

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"
CODES = ("eng_Latn", "deu_Latn", "fra_Latn")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [(line, code, f"{code} line {line}") for line in (1, 1000, 1001, 1997) for code in CODES]
    lines += [(500, code, "HEADLINE") for code in CODES]
    lines += [(501, "eng_Latn", "a quote")]
    lines += [(501, code, "la citation") for code in ("deu_Latn", "fra_Latn", "spa_Latn", "ita_Latn")]
    lines += [(502, "deu_Latn", "ohne Englisch")]
    write(tmp_path / "ntrex.parquet", ("line", "nllb_code", "text"), lines)
    articles = [(number, code, f"{code} article {number}") for number in range(31) for code in CODES]
    write(tmp_path / "udhr.parquet", ("article", "nllb_code", "text"), articles)
    english = [f"a thing {number}" for number in range(60)]
    tatoeba = [(code, text, f"{code} {text}") for text in english for code in (*CODES, "tlh_Latn")]
    write(tmp_path / "tatoeba.parquet", ("nllb_code", "english", "text"), tatoeba)
    write(tmp_path / "cldr_emoji_names.parquet", ("nllb_code", "english", "name"), tatoeba)
    return tmp_path


def write(path: Path, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(columns)}), path)


def numbers(found: list[Reference], origin: str) -> set[int]:
    return {one.number for one in found if one.origin == origin}


def test_the_parts_are_decided_by_line_article_and_english_text(folder: Path) -> None:
    fit, report, learn = (list(references(folder, part)) for part in (FIT, REPORT, LEARN))
    assert numbers(fit, "ntrex") == {1, 1000}
    assert numbers(report, "ntrex") == {1001, 1997}
    assert numbers(learn, "ntrex") == set()
    assert numbers(fit, "udhr") == {25, 26, 27}
    assert numbers(report, "udhr") == {28, 29, 30}
    assert numbers(learn, "udhr") == set(range(25))
    for origin in ("tatoeba", "cldr"):
        texts = [{one.pair.source for one in part if one.origin == origin} for part in (fit, report, learn)]
        assert len(set.union(*texts)) == sum(map(len, texts)) == 60
        assert all(
            {part_of(text) for text in own} == {part}
            for own, part in zip(texts, (FIT, REPORT, LEARN), strict=True)
        )


def test_a_tenth_each_is_fitted_and_reported() -> None:
    parts = [part_of(f"sentence {number}") for number in range(5000)]
    assert parts.count(FIT) == pytest.approx(500, abs=75)
    assert parts.count(REPORT) == pytest.approx(500, abs=75)
    digest = int(hashlib.blake2b("é".encode(), digest_size=8).hexdigest(), 16) % 10
    assert part_of("é") == {0: REPORT, 1: FIT}.get(digest, LEARN)


def test_english_unknown_and_untranslated_texts_are_left_out(folder: Path) -> None:
    found = [one for part in PARTS for one in references(folder, part)]
    assert {one.pair.language for one in found} <= {"deu_Latn", "fra_Latn"}
    assert not {one.pair.target for one in found} & {"HEADLINE", "la citation", "ohne Englisch"}
    assert Reference("ntrex", 1, TextPair("eng_Latn line 1", "deu_Latn line 1", "deu_Latn")) in found


def test_translations_of_one_text_share_its_number(folder: Path) -> None:
    by_number = defaultdict(set)
    for one in references(folder, LEARN):
        by_number[one.origin, one.number].add(one.pair.source)
    assert all(len(sources) == 1 for sources in by_number.values())


def test_ntrex_needs_no_other_table(folder: Path) -> None:
    for name in ("udhr", "tatoeba", "cldr_emoji_names"):
        (folder / f"{name}.parquet").unlink()
    assert {one.number for one in ntrex(folder, REPORT)} == {1001, 1997}
    assert {one.origin for one in ntrex(folder, FIT)} == {"ntrex"}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("ntrex", " --ntrex NTREX/NTREX-128"),
        ("tatoeba", " --tatoeba LASER/data/tatoeba/v1"),
        ("udhr", ""),
        ("cldr_emoji_names", ""),
    ],
)
def test_a_missing_table_is_named_with_what_makes_it(folder: Path, name: str, given: str) -> None:
    (folder / f"{name}.parquet").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        list(references(folder, FIT))
    command = f"python -m scripts.reference_tables{given} --output {folder}"
    assert str(caught.value) == f"{folder / name}.parquet is missing; `{command}` makes it"


def test_the_command_leaves_no_file_where_a_table_is_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "udhr.parquet").unlink()
    out = tmp_path / "pairs.tsv"
    result = subprocess.run(
        [sys.executable, "-m", "evaluation.references", "--data", folder, "--output", out],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2
    assert result.stderr.startswith(f"{folder / 'udhr.parquet'} is missing; `python -m scripts.")
    assert not out.exists()


def test_stamps_are_only_reported_and_known_traps_avoided(folder: Path, tmp_path: Path) -> None:
    stamps = tmp_path / "stamps" / "animals"
    stamps.mkdir(parents=True)
    lines = [
        "A red fish.",
        "de.utf8=Ein roter Fisch.",
        "ta.utf8=mojibake",
        "zh_CN.utf8=rhyme",
        "zh_TW.utf8=紅魚。",
    ]
    lines += [
        "pt.utf8=Um peixe.",
        "pt_BR.utf8=Um peixinho.",
        "ar.utf8=.سمكة",
        "sr.utf8=Црвена риба.",
        "fr.utf8=A red fish.",
        "nl.utf8=",
        "xx.utf8=x",
        "es.utf8=Un \ufffd",
    ]
    (stamps / "fish.txt").write_text("\n".join(lines), encoding="utf-8")
    (stamps / "short.txt").write_text("A f\nde.utf8=Ein\n", encoding="utf-8")
    (stamps / "empty.txt").write_text("", encoding="utf-8")
    found = [one for one in references(folder, REPORT, tmp_path / "stamps") if one.origin == "tux"]
    assert {one.pair.language: one.pair.target for one in found} == {
        "deu_Latn": "Ein roter Fisch.",
        "zho_Hant": "紅魚。",
        "por_Latn": "Um peixe.",
        "srp_Cyrl": "Црвена риба.",
        "arb_Arab": "سمكة.",
    }
    for part in (FIT, LEARN):
        assert not [one for one in references(folder, part, tmp_path / "stamps") if one.origin == "tux"]


def test_the_command_writes_what_calibrate_reads(folder: Path, tmp_path: Path) -> None:
    table = [(code, "a\tthing", f'{code} "quoted"\nline') for code in CODES]
    write(folder / "tatoeba.parquet", ("nllb_code", "english", "text"), table)
    out = tmp_path / "pairs.tsv"
    part = part_of("a\tthing")
    result = subprocess.run(
        [sys.executable, "-m", "evaluation.references", "--data", folder, "--part", part, "--output", out],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = out.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "source\ttarget\tnllb_code"
    assert all(line.count("\t") == 2 for line in lines)
    assert 'a thing\tdeu_Latn "quoted" line\tdeu_Latn' in lines


@pytest.mark.skipif(not SHARED.exists(), reason="needs the tables of shared/data")
def test_no_english_text_of_the_real_tables_is_in_two_parts_of_an_origin() -> None:
    found: dict[str, list[set[str]]] = {origin: [] for origin in ("ntrex", "tatoeba", "cldr", "udhr")}
    for part in PARTS:
        texts = defaultdict(set)
        for one in references(SHARED, part):
            texts[one.origin].add(one.pair.source)
        for origin, own in found.items():
            own.append(texts[origin])
    for origin, (fit, report, learn) in found.items():
        assert fit, origin
        assert report, origin
        assert len(fit | report | learn) == len(fit) + len(report) + len(learn), origin
