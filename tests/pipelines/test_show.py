"""Rows in the terminal: what is printed, how rows are chosen, and that images are never read."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pipelines.manifest import Manifest, Signature, counts_of, merge_counts, write_manifest
from pipelines.mix_files import ShardFile
from pipelines.report.tallies import DamagedMix
from pipelines.show import LONGEST_TEXT, show, spread
from translation.filters import NO_SCORES
from translation.row import ROW_SCORES, row_schema

SIGNATURE = Signature("0.1.0", "abc", 17, "small", "0123", "ctranslate2", "beam", "cld", "ba", "fe")
PICTURE = b"no picture at all" * 200


def row(language: str, index: int, **columns: Any) -> dict[str, Any]:
    return (
        dict.fromkeys(row_schema().names)
        | {
            "id": f"emoji/{index:03d}/caption/{language}",
            "dataset": "emoji",
            "task": "caption",
            "image": {"bytes": PICTURE, "path": "apple.png"},
            "language": language,
            "prompt": "Describe the image in Something.",
            "target": f"Apfel {index}",
            "source_prompt": "Describe the image in Something.",
            "source_target": f"apple {index}",
            "back_translation": "the apple",
            "scores": NO_SCORES | {"script": 1.0, "lid": 0.25},
            "verdict": "accept",
        }
        | columns
    )


def write_mix(directory: Path, shards: dict[str, list[dict[str, Any]]]) -> Path:
    """Real Parquet files of two rows a group, and a real manifest."""
    files = []
    for name, rows in shards.items():
        kind, code, file = name.split("/")
        path = directory / kind / code / file
        path.parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pylist(rows, schema=row_schema())
        pq.write_table(table, path, row_group_size=2, compression="none", use_dictionary=False)
        files.append(ShardFile(name, len(rows), "0" * 64, 1, code, file.split("-")[0], kind == "data"))
    everything = [row for rows in shards.values() for row in rows]
    counts = []
    for code in sorted({row["language"] for row in everything}):
        reasons = [
            row["reason"] and row["reason"].split(":")[0] for row in everything if row["language"] == code
        ]
        counts.append(merge_counts(code, len(reasons), [(reason, 1) for reason in reasons]))
    asked = [
        ((row["question_language"], row["reason"] and row["reason"].split(":")[0]), 1)
        for row in everything
        if row["language"] == "eng_Latn" and row["question_language"] not in (None, "eng_Latn")
    ]
    manifest = Manifest(
        SIGNATURE, {}, len(everything), tuple(counts), tuple(files), questions=counts_of(asked)
    )
    write_manifest(str(directory), manifest)
    return directory


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    rejected = row("swh_Latn", 0, verdict="reject", reason="lid: 0.1 for the language, at least 0.5 wanted")
    unread = row(
        "und", 1, verdict="reject", reason="source: line 3 is no JSON", prompt=None, target=None,
        source_prompt=None, source_target="{broken", back_translation=None, scores=None, image=None,
    )  # fmt: skip
    return write_mix(
        tmp_path / "mix",
        {
            "data/deu_Latn/train-00000-of-00002.parquet": [row("deu_Latn", index) for index in range(5)],
            "data/deu_Latn/train-00001-of-00002.parquet": [row("deu_Latn", index) for index in range(5, 9)],
            "data/eng_Latn/train-00000-of-00001.parquet": [row("eng_Latn", index) for index in range(7)],
            "data/jpn_Jpan/train-00000-of-00001.parquet": [row("jpn_Jpan", index) for index in range(3)],
            "rejected/swh_Latn/rejected-00000-of-00001.parquet": [rejected],
            "rejected/und/rejected-00000-of-00001.parquet": [unread],
        },
    )


def shown(
    mix: Path,
    language: str | None = None,
    rejected: bool = False,
    count: int = 10,
    reason: str | None = None,
    width: int = 100,
) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(mix, language, rejected, count, console, reason=reason)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def ids(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("emoji/")]


def test_a_row_shows_source_translation_back_translation_scores_and_verdict(mix: Path) -> None:
    text = shown(mix, "jpn_Jpan", count=1)
    (identifier,) = ids(text)
    index = int(identifier.split("/")[1])
    words = [line.split() for line in text.splitlines()]
    assert ["source", "apple", str(index)] in words
    assert ["target", "Apfel", str(index)] in words
    assert ["back", "the", "apple"] in words
    assert ["scores", "script=1", "lid=0.25"] in words, "scores that do not apply are left out"
    assert ["verdict", "accept"] in words
    assert "1 of 3 accepted rows of Japanese" in text


def test_an_equal_prompt_is_not_printed_twice(mix: Path, tmp_path: Path) -> None:
    assert shown(mix, "jpn_Jpan", count=1).count("Describe the image") == 1
    translated = [row("deu_Latn", 0, prompt="Beschreibe das Bild.")]
    other = write_mix(tmp_path / "other", {"data/deu_Latn/train-00000-of-00001.parquet": translated})
    assert "Beschreibe das Bild." in shown(other)
    assert "Describe the image" in shown(other)


def test_rejected_rows_show_their_reason_unreadable_ones_their_record(mix: Path) -> None:
    text = shown(mix, rejected=True)
    assert "reject – lid: 0.1 for the language, at least 0.5 wanted" in text
    assert "reject – source: line 3 is no JSON" in text
    assert "{broken" in text
    assert "{broken" in shown(mix, "und", rejected=True)


LID = "lid: {} for the language against others, at least 0.5 wanted"
COPY = "copy: {} of the source is copied, at most 0.8 wanted"


@pytest.fixture
def judged(tmp_path: Path) -> Path:
    """Rows that three rules rejected, one by its prompt, in two languages."""

    def reject(code: str, index: int, reason: str, **scores: float) -> dict[str, Any]:
        found = dict.fromkeys(ROW_SCORES) | {"script": 1.0} | scores
        return row(code, index, verdict="reject", reason=reason, scores=found)

    german = [reject("deu_Latn", index, LID.format("0.1"), lid=0.1, copy=0.25) for index in range(5)]
    french = [
        reject("fra_Latn", 0, LID.format("0.2"), lid=0.2),
        reject("fra_Latn", 1, COPY.format("0.97"), lid=0.9, copy=0.97),
        reject(
            "fra_Latn", 2, LID.format("0.3") + " (in the prompt)", lid=0.9, prompt_lid=0.3, prompt_copy=0.5
        ),
        reject("fra_Latn", 3, "image: missing: no file 'x.png' in the images folder"),
    ]
    return write_mix(
        tmp_path / "judged",
        {
            "rejected/deu_Latn/rejected-00000-of-00001.parquet": german,
            "rejected/fra_Latn/rejected-00000-of-00001.parquet": french,
        },
    )


def test_rejected_rows_start_with_a_table_of_rules_and_come_by_rule(judged: Path) -> None:
    text = shown(judged, rejected=True, width=80)
    lines = [line.split() for line in text.splitlines()]
    assert ["lid", "7", "German", "(deu_Latn)", "5"] in lines
    assert ["copy", "1", "French", "(fra_Latn)", "1"] in lines
    assert lines.index(["lid", "7", "German", "(deu_Latn)", "5"]) < lines.index(["lid:", "7", "rows"])
    heads = [line for line in text.splitlines() if line.endswith((" row", " rows")) and ": " in line]
    assert heads == ["lid: 7 rows", "copy: 1 row", "image: 1 row"]
    assert "9 of 9 rejected rows in 2 languages" in text
    few = shown(judged, rejected=True, count=3)
    assert [line for line in few.splitlines() if line in heads] == heads, "each rule once before any twice"
    assert shown(judged, rejected=True, count=1).count("lid: 7 rows") == 1


def test_the_score_that_broke_the_rule_stands_apart_with_its_bound(judged: Path) -> None:
    text = shown(judged, rejected=True, reason="copy", width=80)
    words = [line.split() for line in text.splitlines()]
    assert ["broken", "copy", "0.97", ">", "0.8"] in words
    assert ["scores", "script=1", "lid=0.9"] in words
    labels = [line[0] for line in words if line]
    assert labels[labels.index("source") + 1] == "target"
    assert "1 of 1 rejected rows (copy) in 1 language" in text
    assert "lid: 7 rows" not in text


def test_scores_of_the_prompt_have_a_line_of_their_own(judged: Path) -> None:
    text = shown(judged, "fra_Latn", rejected=True, reason="lid", width=80)
    assert "2 of 2 rejected rows (lid) of French" in text
    words = [line.split() for line in text.splitlines()]
    assert ["broken", "lid", "0.2", "<", "0.5"] in words
    assert ["broken", "lid", "0.3", "<", "0.5", "(prompt)"] in words
    assert ["prompt", "scores", "copy=0.5"] in words
    assert ["scores", "script=1", "lid=0.9"] in words


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """English answers to questions in other languages, as `english_answers` makes them."""

    def question(code: str, index: int, **columns: Any) -> dict[str, Any]:
        found = row("eng_Latn", index, prompt=f"question {index}", question_language=code)
        return found | {"id": f"emoji/{index}/vqa/{code}"} | columns

    def reject(code: str, index: int, reason: str) -> dict[str, Any]:
        return question(code, index, verdict="reject", reason=reason)

    prompt = LID.format("0.1") + " (in the prompt)"
    return write_mix(
        tmp_path / "asked",
        {
            "data/eng_Latn/train-00000-of-00002.parquet": [
                *(question("eng_Latn", index) for index in range(3)),
                question("ita_Latn", 3),
            ],
            "data/eng_Latn/train-00001-of-00002.parquet": [question("deu_Latn", 4), question("ita_Latn", 5)],
            "data/ita_Latn/train-00000-of-00001.parquet": [row("ita_Latn", 6)],
            "rejected/eng_Latn/rejected-00000-of-00001.parquet": [
                reject("deu_Latn", 7, prompt),
                reject("eng_Latn", 8, "image: missing: no file 'x.png' in the images folder"),
                reject("swh_Latn", 9, prompt),
                reject("swh_Latn", 10, COPY.format("0.9")),
            ],
        },
    )


def test_rows_with_a_question_in_the_language_are_shown_too(asked: Path) -> None:
    text = shown(asked, "ita_Latn")
    assert sorted(ids(text)) == [row("ita_Latn", 6)["id"], "emoji/3/vqa/ita_Latn", "emoji/5/vqa/ita_Latn"]
    assert "3 of 3 accepted rows of Italian" in text
    text = shown(asked, "deu_Latn")
    assert ids(text) == ["emoji/4/vqa/deu_Latn"]
    assert "1 of 1 accepted rows of German" in text
    assert len(ids(shown(asked, "eng_Latn"))) == 6, "all with an English target"


def test_rejected_rows_with_a_question_in_the_language_are_shown_too(asked: Path) -> None:
    text = shown(asked, "swh_Latn", rejected=True)
    assert sorted(ids(text)) == ["emoji/10/vqa/swh_Latn", "emoji/9/vqa/swh_Latn"]
    assert "2 of 2 rejected rows of Swahili" in text
    words = [line.split() for line in text.splitlines()]
    assert ["lid", "1", "Swahili", "(swh_Latn)", "1"] in words
    assert ids(shown(asked, "swh_Latn", rejected=True, reason="copy")) == ["emoji/10/vqa/swh_Latn"]


def test_rules_are_commonest_in_the_language_of_the_text_that_broke_them(asked: Path) -> None:
    words = [line.split() for line in shown(asked, rejected=True).splitlines()]
    assert ["copy", "1", "Swahili", "(swh_Latn)", "1"] in words
    assert ["image", "1", "English", "(eng_Latn)", "1"] in words


def test_errors_know_the_languages_of_questions(asked: Path) -> None:
    with pytest.raises(ValueError, match=r"no accepted rows of Swahili .*only rejected ones .*there are .*"):
        shown(asked, "swh_Latn")
    with pytest.raises(ValueError, match=r"no rejected rows of Italian .*only accepted ones"):
        shown(asked, "ita_Latn", rejected=True)
    with pytest.raises(ValueError, match=r"no accepted rows of Danish .*there are .*deu_Latn"):
        shown(asked, "dan_Latn")


def test_other_faults_break_no_score(judged: Path) -> None:
    text = shown(judged, rejected=True, reason="image")
    assert "reject – image: missing: no file" in text
    assert "broken" not in text


def test_the_output_fits_80_columns_and_says_as_much_without_colour(judged: Path) -> None:
    text = shown(judged, rejected=True, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text


def test_an_unknown_reason_is_an_error_with_those_that_are_there(judged: Path) -> None:
    with pytest.raises(ValueError, match="no rows rejected for 'lidd'; there are lid"):
        shown(judged, rejected=True, reason="lidd")
    with pytest.raises(ValueError, match="no rows rejected for 'copy'; there are lid"):
        shown(judged, "deu_Latn", rejected=True, reason="copy")


def test_a_manifest_that_counts_other_rows_is_an_error(judged: Path) -> None:
    path = judged / "rejected" / "fra_Latn" / "rejected-00000-of-00001.parquet"
    other = [row("fra_Latn", index, verdict="reject", reason=COPY.format("1")) for index in range(4)]
    pq.write_table(pa.Table.from_pylist(other, schema=row_schema()), path)
    with pytest.raises(ValueError, match=r"4 rows of fra_Latn were rejected for copy, not 1"):
        shown(judged, rejected=True, reason="copy")


def test_without_a_language_rows_spread_over_all_and_are_the_same_each_time(mix: Path) -> None:
    text = shown(mix, count=6)
    assert [identifier[-8:] for identifier in ids(text)] == 2 * ["deu_Latn"] + 2 * ["eng_Latn"] + 2 * [
        "jpn_Jpan"
    ]
    assert text == shown(mix, count=6)
    assert "6 of 19 accepted rows in 3 languages" in text


def test_every_row_is_reached_across_shards_and_row_groups(mix: Path) -> None:
    assert [int(one.split("/")[1]) for one in ids(shown(mix, "de", count=100))] == list(range(9))


@pytest.mark.parametrize("code", ["deu_Latn", "de", "German", "DE"])
def test_a_language_is_found_by_any_of_its_codes(mix: Path, code: str) -> None:
    assert len(ids(shown(mix, code, count=2))) == 2


def test_image_bytes_are_never_read(mix: Path) -> None:
    path = mix / "data" / "jpn_Jpan" / "train-00000-of-00001.parquet"
    before = shown(mix, "jpn_Jpan")
    groups = pq.ParquetFile(path).metadata
    content = bytearray(path.read_bytes())
    for group in range(groups.num_row_groups):
        for index in range(groups.num_columns):
            column = groups.row_group(group).column(index)
            if column.path_in_schema == "image.bytes":
                start = column.data_page_offset
                content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"(?i)thrift"):
        pq.read_table(path)
    assert shown(mix, "jpn_Jpan") == before


def test_a_directory_without_a_manifest_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"manifest\.json.*translate-mix run"):
        shown(tmp_path)


def test_a_language_that_only_a_later_version_knows_is_shown_by_its_code(tmp_path: Path) -> None:
    reject = row("xyz_Latn", 9, verdict="reject", reason="lid: 0.1 for the language, at least 0.5 wanted")
    mix = write_mix(
        tmp_path / "mix",
        {
            "data/deu_Latn/train-00000-of-00001.parquet": [row("deu_Latn", index) for index in range(3)],
            "data/xyz_Latn/train-00000-of-00001.parquet": [row("xyz_Latn", index) for index in range(3)],
            "rejected/xyz_Latn/rejected-00000-of-00001.parquet": [reject],
        },
    )
    assert "3 of 3 accepted rows of xyz_Latn" in shown(mix, "xyz_Latn")
    assert "xyz_Latn (xyz_Latn) 1" in shown(mix, rejected=True)
    with pytest.raises(ValueError, match="unknown language 'xyz_Cyrl'"):
        shown(mix, "xyz_Cyrl")


def test_an_unknown_language_is_an_error_with_the_nearest(mix: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown language 'deu_Lattn'; did you mean deu_Latn"):
        shown(mix, "deu_Lattn")


def test_a_language_that_the_mix_lacks_is_an_error_with_those_it_has(mix: Path) -> None:
    with pytest.raises(ValueError, match=r"no accepted rows of Danish \(dan_Latn\); there are .*deu_Latn"):
        shown(mix, "dan_Latn")


def test_the_error_says_where_rows_of_the_language_are(mix: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no accepted rows of Swahili .*only rejected ones \(give --rejected\)"
    ):
        shown(mix, "swh_Latn")
    with pytest.raises(
        ValueError, match=r"no rejected rows of German .*only accepted ones \(leave out --rejected\)"
    ):
        shown(mix, "deu_Latn", rejected=True)


def test_a_mix_without_such_rows_is_an_error(tmp_path: Path) -> None:
    accepted = write_mix(
        tmp_path / "mix", {"data/deu_Latn/train-00000-of-00001.parquet": [row("deu_Latn", 0)]}
    )
    with pytest.raises(ValueError, match=r"no rejected rows, only accepted ones"):
        shown(accepted, rejected=True)


def test_a_damaged_file_is_an_error_that_names_it(mix: Path) -> None:
    path = mix / "data" / "jpn_Jpan" / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DamagedMix, match=r"jpn_Jpan/train-00000-of-00001\.parquet: cannot be read"):
        shown(mix, "jpn_Jpan")


def test_texts_neither_steer_the_terminal_nor_are_taken_for_markup(tmp_path: Path) -> None:
    hostile = [row("deu_Latn", 0, target="[red]a[/red]\x1b[31m\x07 \u202b", source_target="x" * 100_000)]
    text = shown(write_mix(tmp_path / "mix", {"data/deu_Latn/train-00000-of-00001.parquet": hostile}))
    assert "[red]a[/red]\\x1b[31m\\x07" in text
    assert "\x1b" not in text
    assert "(100,000 characters)" in text
    assert text.count("x") < LONGEST_TEXT + 100


CODES = st.from_regex(r"[a-z]{3}_Latn", fullmatch=True)


@given(st.dictionaries(CODES, st.integers(1, 40), min_size=1, max_size=30), st.integers(1, 120))
def test_the_spread_is_even_complete_and_within_bounds(rows: dict[str, int], count: int) -> None:
    chosen = spread(rows, count)
    assert sum(map(len, chosen.values())) == min(count, sum(rows.values()) if count >= len(rows) else count)
    for code, positions in chosen.items():
        assert positions == sorted(set(positions))
        assert positions[0] >= 0
        assert positions[-1] < rows[code]
    unfilled = [len(positions) for code, positions in chosen.items() if len(positions) < rows[code]]
    assert not unfilled or max(map(len, chosen.values())) - min(unfilled) <= 1
    assert len(chosen) == min(count, len(rows))
