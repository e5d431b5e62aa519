"""Texts for lists come from what users have: plain files, tables, memories, mixes."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from translation import shortlist_texts
from translation.memory_segments import table_of
from translation.shortlist_texts import read_texts


def test_a_folder_of_plain_files_and_tables(tmp_path: Path) -> None:
    (tmp_path / "deu_Latn.txt").write_text("ein Hund\n\neine Katze", encoding="utf-8")
    (tmp_path / "fr.txt").write_text("un chien\r\n", encoding="utf-8")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "pairs.tsv").write_text(
        'source\ttarget\tnllb_code\na dog\t"Hund\tdeu_Latn\na cat\tpaka\tswh_Latn\n', encoding="utf-8"
    )
    pq.write_table(
        pa.table({"line": [1, 2], "nllb_code": ["deu_Latn", "hin_Deva"], "text": ["Haus", "लाल"]}),
        tmp_path / "ntrex.parquet",
    )
    assert read_texts([tmp_path]) == {
        "deu_Latn": ["ein Hund", "eine Katze", '"Hund', "Haus"],
        "fra_Latn": ["un chien"],
        "swh_Latn": ["paka"],
        "hin_Deva": ["लाल"],
    }


@pytest.mark.parametrize(
    ("name", "content"), [("deu_Latn.txt", "Hund\n"), ("pairs.tsv", "nllb_code\ttext\ndeu_Latn\tHund\n")]
)
def test_a_byte_order_mark_is_no_text(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8-sig")
    assert read_texts([tmp_path]) == {"deu_Latn": ["Hund"]}


def test_a_memory_and_a_mix(tmp_path: Path) -> None:
    segment = table_of(
        [b"0" * 16],
        b"1" * 16,
        ("ctranslate2", "digest", "{}"),
        False,
        [("eng_Latn", "deu_Latn", "a dog", "ein Hund", -0.1, False, False, False)],
    )
    pq.write_table(segment, tmp_path / "memory.parquet")
    pq.write_table(
        pa.table({"language": ["swh_Latn", None], "target": ["mbwa", "x"], "prompt": ["?", "?"]}),
        tmp_path / "mix.parquet",
    )
    texts = read_texts([tmp_path / "memory.parquet", tmp_path / "mix.parquet"])
    assert texts == {"deu_Latn": ["ein Hund"], "swh_Latn": ["mbwa"]}


def test_no_more_than_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist_texts, "MOST_TEXTS", 2)
    (tmp_path / "deu_Latn.txt").write_text("a\nb\nc\n")
    assert read_texts([tmp_path]) == {"deu_Latn": ["a", "b"]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("klingon.txt", "x", r"klingon\.txt: unknown language 'klingon'"),
        ("deu_Latn.txt", b"\xff\xfe", r"deu_Latn\.txt: 'utf-8' codec"),
        (
            "a.tsv",
            "one\ttwo\n1\t2\n",
            r"a\.tsv: has the columns one, two; must have target and translation or",
        ),
        ("a.tsv", "", r"a\.tsv: has the columns none"),
        ("a.tsv", "nllb_code\ttext\ndeu_Latn\n", r"a\.tsv:2: no nllb_code or no text"),
        ("a.parquet", b"PAR1", r"a\.parquet: "),
        ("a.csv", "x", r"a\.csv: not texts; give \.txt, \.tsv, \.parquet"),
    ],
)
def test_errors_name_the_file(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=message):
        read_texts([path])


def test_an_empty_or_missing_folder_is_an_error(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match="no such folder, or none of"):
            read_texts([folder])


def test_of_a_mix_what_was_accepted_counts_and_not_its_table_of_answers(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}", encoding="utf-8")
    (tmp_path / "answers.tsv").write_text(
        "nllb_code\tanswer\ttranslation\ndeu_Latn\tyes\tja\n", encoding="utf-8"
    )
    for folder, text in (("data", "ein Hund"), ("rejected", "a dog")):
        (tmp_path / folder / "deu_Latn").mkdir(parents=True)
        table = pa.table({"language": ["deu_Latn"], "target": [text]})
        pq.write_table(table, tmp_path / folder / "deu_Latn" / "train-00000-of-00001.parquet")
    assert read_texts([tmp_path]) == {"deu_Latn": ["ein Hund"]}
