"""Reference sets are read from their published layouts, and what cannot be used is named."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.reference_sets import FLORES, NTREX, ReferenceSetError, ReferenceText, read_reference_set

SHARED = Path(__file__).parents[3] / "shared" / "data" / "ntrex.parquet"

ENGLISH = ["A red apple.", "Two dogs.", "The sea."]
GERMAN = ["Ein roter Apfel.", "Zwei Hunde.", "Das Meer."]
SWAHILI = ["Tofaa jekundu.", "Mbwa wawili.", "Bahari."]


def write(path: Path, lines: Sequence[str], end: str = "\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def ntrex_table(path: Path, rows: Sequence[tuple[int | None, str, str | None]]) -> Path:
    columns = dict(zip(("line", "nllb_code", "text"), map(list, zip(*rows, strict=True)), strict=True))
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def ntrex(tmp_path: Path) -> Path:
    texts = {"eng_Latn": ENGLISH, "deu_Latn": GERMAN, "swh_Latn": SWAHILI}
    rows = [(line, code, text) for code, own in texts.items() for line, text in enumerate(own, start=1)]
    return ntrex_table(tmp_path / "ntrex.parquet", rows)


@pytest.fixture
def flores(tmp_path: Path) -> Path:
    folder = tmp_path / "flores"
    for part in ("dev", "devtest"):
        write(folder / part / f"eng_Latn.{part}", [f"{text} {part}" for text in ENGLISH])
        write(folder / part / f"deu_Latn.{part}", [f"{text} {part}" for text in GERMAN])
        write(folder / part / f"xxx_Latn.{part}", ENGLISH)
    return folder


def test_a_parquet_table_of_ntrex(ntrex: Path) -> None:
    found = read_reference_set(ntrex)
    assert (found.name, found.layout, found.languages) == ("ntrex", NTREX, ["deu_Latn", "swh_Latn"])
    assert found.texts[1] == ReferenceText(2, "deu_Latn", "Two dogs.", ("Zwei Hunde.",))
    assert len(found.texts) == 6
    assert found.left_out == ()


def test_the_published_folder_of_ntrex(tmp_path: Path) -> None:
    write(tmp_path / "newstest2019-src.eng.txt", ENGLISH, "\r\n")
    write(tmp_path / "newstest2019-ref.deu.txt", GERMAN, "\r\n")
    write(tmp_path / "newstest2019-ref.swa.txt", SWAHILI)
    write(tmp_path / "newstest2019-ref.por-BR.txt", GERMAN)
    write(tmp_path / "README.md", ["NTREX-128"])
    found = read_reference_set(tmp_path)
    assert found.layout == NTREX
    assert [(text.line, text.language, *text.references) for text in found.texts[::3]] == [
        (1, "deu_Latn", "Ein roter Apfel."),
        (1, "swh_Latn", "Tofaa jekundu."),
    ]
    assert found.texts[0].source == "A red apple."
    assert len(found.left_out) == 1
    assert "newstest2019-ref.por-BR.txt" in found.left_out[0]


@pytest.mark.parametrize(("folder", "part"), [("", "devtest"), ("dev", "dev"), ("devtest", "devtest")])
def test_folders_of_flores(flores: Path, folder: str, part: str) -> None:
    found = read_reference_set(flores / folder)
    assert (found.name, found.layout) == (f"flores-{part}", FLORES)
    assert found.texts[2] == ReferenceText(3, "deu_Latn", f"The sea. {part}", (f"Das Meer. {part}",))
    assert "xxx_Latn" in found.left_out[0]


def test_lines_of_a_table_with_one_source_are_references_of_one_text(tmp_path: Path) -> None:
    path = write(
        tmp_path / "own.tsv",
        [
            "source\ttarget\tnllb_code",
            "a cat\teine Katze\tde",
            "a dog\tein Hund\tde",
            "a cat\tKatze\tdeu_Latn",
        ],
    )
    found = read_reference_set(path)
    assert found.name == "own"
    assert found.texts == (
        ReferenceText(1, "deu_Latn", "a cat", ("eine Katze", "Katze")),
        ReferenceText(2, "deu_Latn", "a dog", ("ein Hund",)),
    )


def test_bad_lines_are_counted_with_their_places(tmp_path: Path) -> None:
    path = tmp_path / "own.tsv"
    lines = ["source\ttarget\tnllb_code", "a cat\teine Katze\tde", "a dog\t\tde", "a cow\tKuh\tklingon"]
    path.write_bytes("\n".join([*lines, "an owl\tan owl\ten", ""]).encode() + b"a \xff\tx\tde\n")
    found = read_reference_set(path)
    assert len(found.texts) == 1
    assert [line.split(" (")[0] for line in found.left_out] == [
        "1 left out: no target",
        "1 left out: unknown language 'klingon'; did you mean"
        f"{found.left_out[1].split('did you mean')[1].split(' (')[0]}",
        "1 left out: English is what is translated from",
        "1 left out: no valid UTF-8",
    ]
    assert ["line 3" in found.left_out[0], "line 4" in found.left_out[1]] == [True, True]


def test_languages_and_lines_can_be_chosen(ntrex: Path) -> None:
    found = read_reference_set(ntrex, ["swh_Latn"], (2, 3))
    assert [(text.language, text.line) for text in found.texts] == [("swh_Latn", 2), ("swh_Latn", 3)]


def test_lines_without_text_are_left_out(tmp_path: Path) -> None:
    rows = [
        (1, "eng_Latn", "A cat."),
        (1, "deu_Latn", " "),
        (2, "deu_Latn", "Ein Hund."),
        (None, "deu_Latn", "x"),
    ]
    rows += [(1, "swh_Latn", "Paka.")]
    found = read_reference_set(ntrex_table(tmp_path / "cut.parquet", rows))
    assert [text.language for text in found.texts] == ["swh_Latn"]
    assert any("2 left out" in line and "deu_Latn line 2" in line for line in found.left_out)


def test_the_digest_is_of_the_content(flores: Path) -> None:
    before = read_reference_set(flores).digest
    assert read_reference_set(flores / "devtest").digest == before
    write(flores / "devtest" / "deu_Latn.devtest", [*GERMAN[:2], "Die See."])
    assert read_reference_set(flores).digest != before


def wrong(folder: Path, flores: Path, ntrex: Path) -> dict[str, tuple[Path, tuple[str, ...], str]]:
    write(flores / "dev" / "deu_Latn.dev", GERMAN[:2])
    (folder / "latin.tsv").write_bytes(b"source\ttext\na\tb\n")
    (folder / "broken.parquet").write_bytes(b"PAR1 no")
    (folder / "empty").mkdir()
    pq.write_table(pa.table({"english": ["a"]}), folder / "other.parquet")
    ntrex_table(folder / "no_english.parquet", [(1, "deu_Latn", "x")])
    write(folder / "none.tsv", ["source\ttarget\tnllb_code", "a\tb\tklingon"])
    return {
        "lines differ": (flores / "dev", (), "2 lines, eng_Latn.dev has 3"),
        "no column": (folder / "latin.tsv", (), "no column target, nllb_code"),
        "no file": (folder / "missing.tsv", (), "No such file"),
        "no Parquet": (folder / "broken.parquet", (), "cannot be read as Parquet"),
        "other columns": (folder / "other.parquet", (), "no column line, nllb_code, text; found english"),
        "no English": (folder / "no_english.parquet", (), "no rows in eng_Latn"),
        "no set": (folder / "empty", (), "neither newstest2019-src.eng.txt"),
        "nothing left": (folder / "none.tsv", (), "no translation out of English to measure by: 1 left out"),
        "no such language": (ntrex, ("jpn_Jpan",), "no references in jpn_Jpan; it has deu_Latn, swh_Latn"),
    }


@pytest.mark.parametrize(
    "case",
    [
        *("lines differ", "no column", "no file", "no Parquet", "other columns", "no English", "no set"),
        *("nothing left", "no such language"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, flores: Path, ntrex: Path, case: str) -> None:
    path, codes, message = wrong(tmp_path, flores, ntrex)[case]
    with pytest.raises(ReferenceSetError, match=path.name) as raised:
        read_reference_set(path, codes)
    assert message in str(raised.value)


def test_lines_beyond_the_end_are_named(ntrex: Path) -> None:
    with pytest.raises(ReferenceSetError, match="no line from 10 to 12; the last is 3"):
        read_reference_set(ntrex, (), (10, 12))


@pytest.mark.skipif(not SHARED.exists(), reason="NTREX is not there")
def test_ntrex_itself() -> None:
    found = read_reference_set(SHARED, (), (1001, 1997))
    assert len(found.languages) == 87
    assert len(found.texts) == 87 * 997
    assert found.left_out == ()
