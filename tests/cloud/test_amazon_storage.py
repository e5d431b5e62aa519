"""A mix and its memory at s3://, through the real clients of Beam and Arrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import quote

import pyarrow.parquet as pq
from pyarrow import fs

from tests.cloud.conftest import Program
from tests.cloud.servers import BUCKET
from tests.pipelines.mix_files import files_of
from training.mixes import Mix
from translation.memory_segments import SegmentFolder


def test_a_mix_in_a_bucket_is_the_one_on_a_disk(
    amazon: dict[str, str],
    program: Program,
    recipe: Path,
    tmp_path: Path,
    in_environment: Callable[[Mapping[str, str]], None],
) -> None:
    # Beam makes a client of S3 for each request, which takes a fraction of a second.
    small = ["--set", "languages.codes=[deu_Latn]", "--set", "languages.english_share=0"]
    local, url = tmp_path / "local", f"s3://{BUCKET}/my mix[1]"
    program.call("run", str(recipe), "--output", str(local), "--quiet", *small)
    there = program.with_environment(amazon)
    there.call("run", str(recipe), "--output", url, "--quiet", *small)
    assert "whole" in there.call("verify", url, "--quiet").stdout

    in_environment(amazon)
    files, path = fs.FileSystem.from_uri(quote(url, safe="/:"))
    for info in files.get_file_info(fs.FileSelector(path, recursive=True)):
        if info.is_file:
            target = tmp_path / "fetched" / info.path[len(path) + 1 :]
            target.parent.mkdir(parents=True, exist_ok=True)
            with files.open_input_stream(info.path) as stream:
                target.write_bytes(stream.read())
    assert files_of(tmp_path / "fetched") == files_of(local)
    assert pq.read_table(f"{path}/data/deu_Latn", filesystem=files).num_rows > 0
    rows = there.evaluate(f"Mix({url!r}).rows", "from training.mixes import Mix")
    assert int(rows) == Mix(str(local)).rows
    segments = SegmentFolder(f"{url}/memory")
    assert segments.names() == SegmentFolder(str(local / "memory")).names()
