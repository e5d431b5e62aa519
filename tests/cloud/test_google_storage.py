"""A mix and its memory at gs://, through the real clients of Beam and Arrow."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.cloud.conftest import GoogleCloud, segments_of
from tests.cloud.servers import BUCKET, wait_for
from tests.pipelines.mix_files import files_of
from training.mixes import Mix
from translation.memory_segments import MemoryFolderError, SegmentFolder


def test_a_mix_in_a_bucket_is_the_one_on_a_disk_and_every_command_takes_it(
    google: GoogleCloud, recipe: Path, local_mix: Path, tmp_path: Path
) -> None:
    # Which means something else to those who look for files by patterns.
    url, program = f"{google.root}/mixes/ours[1]", google.program
    program.call("run", str(recipe), "--output", url, "--quiet")
    fetched = google.store.download("mixes/ours[1]", tmp_path / "fetched")
    assert files_of(fetched) == files_of(local_mix)
    assert segments_of(fetched) == segments_of(local_mix)

    assert "whole" in program.call("verify", url, "--quiet").stdout
    assert "accepted rows in 3 languages" in program.call("show", url, "-n", "1").stdout
    german = f"{url}/data/deu_Latn"
    rows = program.evaluate(
        f"pq.read_table({german[5:]!r}, filesystem=fs.FileSystem.from_uri({google.root!r})[0]).num_rows",
        "import pyarrow.parquet as pq; from pyarrow import fs",
    )
    assert int(rows) == pq.read_table(local_mix / "data" / "deu_Latn").num_rows
    rows = program.evaluate(f"Mix({url!r}).rows", "from training.mixes import Mix")
    assert int(rows) == Mix(str(local_mix)).rows

    changed = program.call("refilter", url, "--set", "filters.length_ratio.max=0.5", "--quiet", code=0)
    assert changed.stdout
    again = json.loads(google.store.read("mixes/ours[1]/manifest.json"))
    assert sum(one["rejected"] for one in again["counts"]) > 0
    assert "whole" in program.call("verify", url, "--quiet").stdout
    assert not [
        name for name in google.store.names("mixes/ours[1]/") if ".partial" in name or ".work" in name
    ]


def test_a_run_with_more_languages_takes_from_the_memory_what_it_knows(
    google: GoogleCloud, recipe: Path
) -> None:
    url, program = f"{google.root}/mix", google.program

    def entries() -> dict[str, int]:
        stats = json.loads(program.call("memory", "stats", url, "--json").stdout)
        return {group["target"]: group["entries"] for group in stats["groups"]}

    program.call(
        "run", str(recipe), "--output", url, "--quiet", "--set", "languages.english_share=0",
        "--set", "languages.codes=[deu_Latn]",
    )  # fmt: skip
    before = entries()
    program.call(
        "run", str(recipe), "--output", url, "--quiet", "--overwrite", "--set", "languages.english_share=0",
        "--set", "languages.codes=[deu_Latn, fra_Latn]",
    )  # fmt: skip
    after = entries()
    assert after["deu_Latn"] == before["deu_Latn"]
    assert after["fra_Latn"] > 0
    assert "whole" in program.call("verify", url, "--quiet").stdout


def test_a_run_that_is_killed_goes_on_and_gives_the_same_bytes(
    google: GoogleCloud, recipe: Path, local_mix: Path, tmp_path: Path
) -> None:
    command = ["run", str(recipe), "--output", f"{google.root}/mix", "--quiet"]
    started = google.program.start(*command)
    wait_for(
        lambda: (
            any(name.endswith(".parquet") for name in google.store.names("mix/memory/"))
            or started.poll() is not None
        ),
        "segment",
    )
    started.kill()
    started.communicate()
    assert google.store.names("mix/memory/")
    assert "mix/manifest.json" not in google.store.names("mix/")

    google.program.call(*command)
    fetched = google.store.download("mix", tmp_path / "fetched")
    assert files_of(fetched) == files_of(local_mix)
    assert segments_of(fetched) == segments_of(local_mix)


def test_what_a_store_refuses_is_said_in_a_line(google: GoogleCloud, recipe: Path) -> None:
    google.store.refused.add("secret")
    for command in (["run", str(recipe), "--quiet", "--output"], ["verify"]):
        done = google.program.call(*command, f"{google.root}/secret/mix", code=1)
        assert "secret/mix/manifest.json" in done.stderr
        assert "no permission" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    nowhere = google.program.call("run", str(recipe), "--quiet", "--output", "gs://no-bucket/mix", code=1)
    assert "no-bucket" in nowhere.stderr
    assert "there is no bucket gs://no-bucket" in nowhere.stderr
    assert len(nowhere.stderr.splitlines()) == 1


def test_segments_are_written_in_one_request_below_any_name(
    google: GoogleCloud, in_environment: Callable[[Mapping[str, str]], None]
) -> None:
    in_environment(google.program.environment)
    folder = SegmentFolder(f"{google.root}/a ü#?b/100%/memory")
    assert folder.names() == []
    folder.write_bytes("one.json", b"{}")
    # Without objects that stand for folders, and without one that was renamed.
    assert google.store.names("") == ["a ü#?b/100%/memory/one.json"]
    assert folder.names() == ["one.json"]
    assert folder.read("one.json").to_pybytes() == b"{}"
    folder.remove(["one.json", "another.json"])
    assert folder.names() == []
    with pytest.raises(
        MemoryFolderError, match=r"cannot write gs://no-bucket/m/one.json: there is no such b"
    ):
        SegmentFolder("gs://no-bucket/m").write_bytes("one.json", b"{}")
    google.store.refused.add("memory")
    with pytest.raises(MemoryFolderError, match=f"cannot read gs://{BUCKET}/memory: "):
        SegmentFolder(f"{google.root}/memory").names()
