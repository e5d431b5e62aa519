"""`translate-mix verify` finds every kind of damage and tells of all of it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.cli import main
from pipelines.manifest import Manifest, Signature, merge_counts, write_manifest
from pipelines.mix_files import ShardFile
from pipelines.sink import write_tables
from pipelines.verify import problems
from translation.row import row_schema

SIGNATURE = Signature("0.1.0", "abc", 17, "small", "0123", "ctranslate2", "beam", "cld", "ba", "fe")

FRENCH = "data/fra_Latn/train-00000-of-00001.parquet"
GERMAN = "data/deu_Latn/train-00000-of-00001.parquet"
REJECTED = "rejected/deu_Latn/rejected-00000-of-00001.parquet"


def shard(rows: int, schema: pa.Schema | None = None) -> bytes:
    content: list[dict[str, Any]] = [
        dict.fromkeys(row_schema().names)
        | {"id": f"d/{index}", "dataset": "d", "task": "caption", "language": "deu_Latn", "verdict": "accept"}
        for index in range(rows)
    ]
    file = io.BytesIO()
    if schema is None:
        write_tables(file, [pa.Table.from_pylist(content, schema=row_schema())])
    else:
        pq.write_table(pa.Table.from_pylist(content, schema=schema), file)
    return file.getvalue()


def put(mix: Path, name: str, content: bytes, rows: int) -> ShardFile:
    path = mix / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    kind, code, file = name.split("/")
    digest = hashlib.sha256(content).hexdigest()
    return ShardFile(name, rows, digest, len(content), code, file.split("-")[0], kind == "data")


def finish(mix: Path, *files: ShardFile) -> None:
    counts = []
    for code in sorted({file.language for file in files}):
        of_code = [(None if one.accepted else "lid", one.rows) for one in files if one.language == code]
        counts.append(merge_counts(code, sum(rows for _, rows in of_code), of_code))
    read = sum(file.rows for file in files)
    write_manifest(str(mix), Manifest(SIGNATURE, {"name": "tiny"}, read, tuple(counts), files))
    (mix / "README.md").write_text("# A mix\n", encoding="utf-8")


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    path = tmp_path / "mix"
    finish(
        path,
        put(path, GERMAN, shard(30), 30),
        put(path, FRENCH, shard(20), 20),
        put(path, REJECTED, shard(5), 5),
    )
    return path


def found(mix: Path) -> list[str]:
    return list(problems(str(mix)))


def edit(mix: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = mix / "manifest.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def test_a_whole_mix_has_no_problems_however_it_is_named(mix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mix.parent)
    for name in (str(mix), f"{mix}/", "mix", "mix/", "./mix", "../" + mix.parent.name + "/mix//"):
        assert list(problems(name)) == []
    monkeypatch.chdir(mix)
    assert list(problems(".")) == []


@pytest.mark.parametrize("place", [0, 4, 1000, -500, -9, -5, -1])
def test_a_flipped_bit_anywhere_is_found(mix: Path, place: int) -> None:
    data = bytearray((mix / GERMAN).read_bytes())
    data[place] ^= 1
    (mix / GERMAN).write_bytes(data)
    (problem,) = found(mix)
    assert problem.startswith(f"{GERMAN}: its content has changed (sha256 ")
    assert "\n" not in problem


@pytest.mark.parametrize("length", [0, 3, 4, 8, 2000, -1])
def test_a_cut_file_is_found(mix: Path, length: int) -> None:
    data = (mix / FRENCH).read_bytes()
    (mix / FRENCH).write_bytes(data[:length])
    (problem,) = found(mix)
    assert problem.startswith(f"{FRENCH}: holds {len(data[:length]):,} bytes, not {len(data):,}; is no whole")


def test_other_rows_and_columns_are_found_even_where_the_manifest_has_their_checksum(mix: Path) -> None:
    less = pa.schema([field for field in row_schema() if field.name not in ("reason", "split")])
    other = row_schema().set(0, pa.field("id", pa.large_string(), nullable=False))
    files = (
        put(mix, GERMAN, shard(29), 30),
        put(mix, FRENCH, shard(20, less), 20),
        put(mix, "data/ita_Latn/train-00000-of-00001.parquet", shard(1, other), 1),
        put(mix, "data/spa_Latn/train-00000-of-00001.parquet", shard(1, row_schema().remove_metadata()), 1),
        put(mix, REJECTED, b"PAR1 and nothing else", 5),
    )
    finish(mix, *files)
    told = dict(problem.split(": ", 1) for problem in found(mix))
    columns = "its columns are not those of this version of translate-mix"
    assert told.pop(GERMAN) == "holds 29 rows, not 30"
    assert told.pop(FRENCH) == f"{columns} (without split, reason)"
    assert told.pop("data/ita_Latn/train-00000-of-00001.parquet") == f"{columns} (of another type: id)"
    assert told.pop("data/spa_Latn/train-00000-of-00001.parquet") == f"{columns} (another order or metadata)"
    assert told.pop(REJECTED).startswith("is no whole Parquet file (")
    assert not told


def test_missing_and_foreign_files_are_found(mix: Path) -> None:
    (mix / GERMAN).unlink()
    (mix / FRENCH).rename(mix / "data" / "fra_Latn" / "train-00000-of-00002.parquet")
    (mix / "rejected" / "copy.parquet").symlink_to(mix / REJECTED)
    (mix / "rejected" / "lost.parquet").symlink_to(mix / "nowhere")
    (mix / "data" / "deu_Latn" / ".train-00000-of-00001.parquet.ab.partial").write_bytes(b"half")
    (mix / ".manifest.json.text.partial").touch()
    (mix / "README.md").unlink()
    (mix / "data" / "deu_Latn" / "notes.txt").write_text("mine", encoding="utf-8")
    assert found(mix) == [
        f"{GERMAN}: missing",
        f"{FRENCH}: missing",
        ".manifest.json.text.partial: is left of a write that was interrupted",
        "data/deu_Latn/.train-00000-of-00001.parquet.ab.partial: is left of a write that was interrupted",
        "data/fra_Latn/train-00000-of-00002.parquet: is not in the manifest",
        "rejected/copy.parquet: is not in the manifest",
        "rejected/lost.parquet: is not in the manifest",
        "README.md: missing",
    ]


def test_a_file_that_cannot_be_read_is_told_like_the_others(mix: Path) -> None:
    (mix / GERMAN).unlink()
    (mix / GERMAN).mkdir()
    (mix / FRENCH).write_bytes(b"")
    assert found(mix)[0] == f"{GERMAN}: cannot be read: Is a directory"
    assert len(found(mix)) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told_like_the_others(mix: Path) -> None:
    (mix / GERMAN).chmod(0)
    assert found(mix) == [f"{GERMAN}: cannot be read: Permission denied"]


def test_a_wrong_manifest_is_told_apart_from_wrong_files(mix: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["files"][0]["sha256"] = "0" * 64
        content["files"][1]["rows"] = 21
        content["files"].append(content["files"][2])
        content["read"] = 60

    edit(mix, change)
    told = found(mix)
    assert told[0] == "manifest.json: has changed since it was written (its own checksum is another)"
    assert told[1] == f"manifest.json: names {REJECTED} 2 times"
    assert told[2].startswith("manifest.json: 60 examples were read, 55 judged")
    assert told[3].startswith(f"{GERMAN}: its content has changed (sha256 ")
    assert told[3].endswith(", not 0000000000000000)")
    assert told[4:] == [f"{FRENCH}: holds 20 rows, not 21"]


def test_a_manifest_of_a_mix_that_was_edited_alone_is_found(mix: Path) -> None:
    edit(mix, lambda content: content["recipe"].update(name="another"))
    assert found(mix) == ["manifest.json: has changed since it was written (its own checksum is another)"]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int | str | None, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["verify", *arguments])
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_the_command_lists_all_and_exits_with_1(mix: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, str(mix)) == (0, f"{mix}: whole\n", "")
    (mix / GERMAN).unlink()
    assert call(capsys, str(mix)) == (1, f"{GERMAN}: missing\n{mix}: 1 problem\n", "")
    (mix / FRENCH).unlink()
    assert call(capsys, str(mix), "--quiet") == (
        1, f"{GERMAN}: missing\n{FRENCH}: missing\n{mix}: 2 problems\n", "",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no manifest.json, so this is no finished mix"),
        ("{", "damaged"),
        ("{}", "damaged"),
        ('{"format": 2}', "a later version of translate-mix wrote it"),
    ],
)
def test_without_a_manifest_that_can_be_read_it_is_one_message(
    mix: Path, capsys: pytest.CaptureFixture[str], text: str | None, message: str
) -> None:
    (mix / "manifest.json").unlink()
    if text is not None:
        (mix / "manifest.json").write_text(text, encoding="utf-8")
    code, out, err = call(capsys, str(mix))
    assert (code, out) == (1, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_long_checks_show_progress_and_quiet_ones_do_not(
    mix: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 100_000, 31))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    code, out, err = call(capsys, str(mix))
    assert (code, out) == (0, f"{mix}: whole\n")
    lines = err.splitlines()
    assert len(lines) == 3
    assert re.fullmatch(r"verify: 30 of 55 rows, .* a second, .* s left", lines[0])
    assert lines[-1].startswith("verify: 55 of 55 rows")
    assert call(capsys, str(mix), "--quiet") == (0, f"{mix}: whole\n", "")


def test_an_interruption_does_not_wait_for_the_files_that_are_left(
    mix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [put(mix, f"data/deu_Latn/train-{index:05d}-of-00200.parquet", b"x", 1) for index in range(200)]
    (mix / GERMAN).unlink()
    finish(mix, *files)
    read = []

    def slow(file: object) -> Iterator[None]:
        read.append(file)
        time.sleep(0.02)
        raise OSError("slow")

    monkeypatch.setattr("pipelines.verify.digest_of", slow)
    going = problems(str(mix))
    next(going)
    going.close()  # type: ignore[attr-defined]
    assert 0 < len(read) < 50


def test_an_interrupted_check_does_not_promise_to_go_on(
    mix: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.verify.problems", interrupted)
    assert call(capsys, str(mix)) == (130, "", "translate-mix: interrupted\n")
