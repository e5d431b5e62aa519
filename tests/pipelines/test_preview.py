"""The card shows rows of every script, the same ones each time, without reading more than their texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.mix_files import ShardFile
from pipelines.preview import LANGUAGES, LONGEST_TEXT, PreviewRow, markdown, preview_rows
from translation.filters import NO_SCORES
from translation.row import row_schema


def row(index: int, language: str, target: str | None, source: str | None = "red") -> dict[str, Any]:
    return dict.fromkeys(row_schema().names) | {
        "id": f"coco/{index}/caption/{language}",
        "dataset": "coco",
        "task": "caption",
        "image": {"bytes": b"no picture", "path": None},
        "language": language,
        "prompt": f"prompt {index}",
        "target": target,
        "source_target": source,
        "scores": NO_SCORES,
        "verdict": "accept",
    }


def shard(
    folder: Path, language: str, rows: list[dict[str, Any]], split: str = "train", kind: str = "data"
) -> ShardFile:
    path = f"{kind}/{language}/{split}-00000-of-00001.parquet"
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=row_schema()), folder / path)
    return ShardFile(path, len(rows), "0" * 64, 1, language, split, kind == "data")


def rows_of(language: str, number: int) -> list[dict[str, Any]]:
    return [row(index, language, f"{language} {index}") for index in range(number)]


def shown(folder: Path, *files: ShardFile) -> tuple[PreviewRow, ...]:
    return preview_rows(files, lambda file: str(folder / file.path))


def test_every_script_is_there_and_english_is_not(tmp_path: Path) -> None:
    latin = ["afr_Latn", "deu_Latn", "fra_Latn", "ita_Latn", "nld_Latn", "pol_Latn", "por_Latn", "ron_Latn"]
    others = ["heb_Hebr", "jpn_Jpan", "rus_Cyrl"]
    files = [shard(tmp_path, code, rows_of(code, 2 + place)) for place, code in enumerate(latin)]
    files += [shard(tmp_path, code, rows_of(code, 1)) for code in others]
    files += [shard(tmp_path, "eng_Latn", rows_of("eng_Latn", 50))]
    files += [shard(tmp_path, "kor_Hang", rows_of("kor_Hang", 3), "rejected", "rejected")]
    found = [one.language for one in shown(tmp_path, *files)]
    assert len(found) == LANGUAGES
    # By script, and of Latin the languages with most rows.
    assert found == [*("rus_Cyrl", "heb_Hebr", "jpn_Jpan"), *latin[3:]]


def test_more_scripts_than_that_are_all_there(tmp_path: Path) -> None:
    codes = [
        "amh_Ethi",
        "arb_Arab",
        "ben_Beng",
        "ell_Grek",
        "heb_Hebr",
        "hin_Deva",
        "jpn_Jpan",
        "kat_Geor",
        "tha_Thai",
    ]
    files = [shard(tmp_path, code, rows_of(code, 1)) for code in codes]
    assert sorted(one.language for one in shown(tmp_path, *files)) == codes


def test_the_row_does_not_depend_on_the_order_of_files(tmp_path: Path) -> None:
    files = [shard(tmp_path, code, rows_of(code, 40)) for code in ("deu_Latn", "rus_Cyrl")]
    assert shown(tmp_path, *files) == shown(tmp_path, *reversed(files))
    assert all(one.target.startswith(one.language) for one in shown(tmp_path, *files))


def test_short_whole_rows_of_the_training_split_come_first(tmp_path: Path) -> None:
    rows = [row(index, "deu_Latn", "lang " * 100) for index in range(20)]
    rows += [row(20, "deu_Latn", None), row(21, "deu_Latn", "kurz", None), row(22, "deu_Latn", "kurz")]
    files = [
        shard(tmp_path, "deu_Latn", rows),
        shard(tmp_path, "deu_Latn", rows_of("deu_Latn", 1), "validation"),
    ]
    assert shown(tmp_path, *reversed(files)) == (PreviewRow("deu_Latn", "prompt 22", "kurz", "red"),)


def test_a_language_without_a_whole_row_is_left_out(tmp_path: Path) -> None:
    assert shown(tmp_path, shard(tmp_path, "deu_Latn", [row(0, "deu_Latn", "rot", None)])) == ()


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a | b", "a \\| b"),
        ("two\nlines\u2028three", "two lines three"),
        (
            "<img src=x> & *bold* `code` ~x~ #1 $5",
            "&lt;img src=x&gt; &amp; \\*bold\\* \\`code\\` \\~x\\~ \\#1 \\$5",
        ),
        ("[a](b) \\", "\\[a\\](b) \\\\"),
        ("\u202eturned\u202c", "turned"),
        ("10\u202f000\u3000赤い\u00a0船", "10 000 赤い 船"),
        ("شير", '<span dir="rtl">شير</span>'),
        ("12 אריות", '<span dir="rtl">12 אריות</span>'),
        ("12 lions אריות", "12 lions אריות"),
        ("", ""),
    ],
)
def test_a_cell_shows_the_text_itself(text: str, cell: str) -> None:
    assert markdown(text) == cell


def test_a_long_text_is_cut_between_letters() -> None:
    family = "👩\u200d👩\u200d👧"
    assert markdown(family * (LONGEST_TEXT + 1)) == family * LONGEST_TEXT + "…"
    assert markdown(family * LONGEST_TEXT) == family * LONGEST_TEXT
