"""Places of input are one thing on disk and far away; what a store answers becomes what a disk would say."""

from __future__ import annotations

import glob
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipelines import inputs
from pipelines.archives import samples, tar_members, zip_members
from pipelines.examples import Reject
from pipelines.images import BadImage, Cell, folder_locator, image_bytes, tar_locator, zip_locator
from pipelines.inputs import (
    files_below,
    folders_in,
    is_dir,
    is_file,
    matching,
    open_input,
    parent,
    pattern_expression,
    place_in,
    read_bytes,
    read_range,
    stamp,
)
from pipelines.recipe import Recipe, load_recipe
from pipelines.sources import SourceError, pieces, read_records
from pipelines.sources.pictures import PictureStore, UnusableImages, picture_store
from pipelines.store_errors import StoreError
from tests.pipelines.remote_folder import FOLDER, KeptFileSystem, StoreFault, forget, url_of


@pytest.fixture(autouse=True)
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder behind `kept://bucket`."""
    monkeypatch.setenv(FOLDER, str(tmp_path))
    monkeypatch.setattr(inputs, "WAITS_S", (0.0, 0.0))
    (tmp_path / "bucket").mkdir()
    for remembered in (inputs._remembered_stamp, inputs._kept_open, picture_store):
        remembered.cache_clear()
    forget()
    yield tmp_path / "bucket"
    forget()


def asked() -> Counter[str]:
    return Counter(what for what, *_ in KeptFileSystem.requests)


@pytest.mark.parametrize(
    ("folder", "written", "place"),
    [
        ("/a/b", "c.json", "/a/b/c.json"),
        ("/a/b", "../c/", "/a/b/../c"),
        ("/a/b", "/c.json", "/c.json"),
        ("/a/b", "gs://x/./y//", "gs://x/y"),
        ("gs://x/y", "c.json", "gs://x/y/c.json"),
        ("gs://x/y", "../c/./d/", "gs://x/c/d"),
        ("gs://x/y", "../../../c", "gs://x/c"),
        ("gs://x", ".", "gs://x"),
        ("gs://x/y", "/c.json", "/c.json"),
        ("gs://x/y", "s3://z/*.json", "s3://z/*.json"),
        ("/a", "c://", "c://"),
    ],
)
def test_what_is_written_becomes_a_place(folder: str, written: str, place: str) -> None:
    assert place_in(folder, written) == place


def test_the_home_folder_is_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/x")
    assert place_in("gs://x", "~/a") == place_in("/a", "~/a") == "/home/x/a"


def test_files_and_folders_far_away(bucket: Path) -> None:
    (bucket / "a").mkdir()
    (bucket / "a/b.txt").write_bytes(b"12345")
    assert is_file("kept://bucket/a/b.txt")
    assert not is_file("kept://bucket/a")
    assert is_dir("kept://bucket/a")
    assert not is_dir("kept://bucket/a/b.txt")
    assert not is_dir("kept://bucket/a/b")
    assert stamp("kept://bucket/a/b.txt").size == 5
    assert read_bytes("kept://bucket/a/b.txt") == b"12345"
    assert (
        read_bytes("kept://bucket/a/b.txt", limit=3)
        == read_bytes(str(bucket / "a/b.txt"), limit=3)
        == b"1234"
    )
    assert read_range("kept://bucket/a/b.txt", 1, 2) == b"23"
    assert read_range("kept://bucket/a/b.txt", 3, 9) == b"45"
    assert parent("kept://bucket/a/b.txt") == "kept://bucket/a"


def test_a_file_far_away_is_read_like_any_other(bucket: Path) -> None:
    lines = b"".join(b"%d\n" % number for number in range(50_000))
    (bucket / "a").write_bytes(lines)
    with open_input("kept://bucket/a", block=1000) as file:
        assert file.readlines() == lines.splitlines(keepends=True)
        assert file.seek(-7, io.SEEK_END) == len(lines) - 7
        assert file.read() == lines[-7:]
        assert file.read(1) == b""
        assert file.seek(10) == 10
        assert file.read(200_000) == lines[10:200_010]
    (bucket / "empty").write_bytes(b"")
    with open_input("kept://bucket/empty") as file:
        assert file.read() == b""


def test_only_what_is_read_is_fetched(bucket: Path) -> None:
    (bucket / "a").write_bytes(bytes(40_000_000))
    with open_input("kept://bucket/a", block=10_000) as file:
        file.seek(30_000_000)
        file.read(100)
    assert read_range("kept://bucket/a", 5_000_000, 500) == bytes(500)
    ranges = [(start, end) for what, _, start, end in KeptFileSystem.requests if what == "range"]
    assert ranges == [(30_000_000, 30_010_000), (5_000_000, 5_000_500)]


def test_ranges_of_one_file_open_it_once(bucket: Path) -> None:
    (bucket / "a").write_bytes(bytes(1000))
    for offset in range(10):
        read_range("kept://bucket/a", offset, 10)
    assert asked() == {"metadata": 1, "range": 10}


NAMES = (
    "a.json",
    "b.json",
    "b.txt",
    "x/a.json",
    "x/y/a.json",
    "x/.hidden/a.json",
    ".dot.json",
    "x1/c[1].json",
)


@pytest.mark.parametrize(
    "pattern",
    [
        "*.json",
        "?.json",
        "[!a].json",
        "[ab].*",
        "**/*.json",
        "x/**/*.json",
        "x/**",
        "*/a.json",
        "x*/*",
        ".*.json",
        "*",
        "**",
        "a**/a.json",
        "x1/c[[]1].json",
        "nothing*",
        "b.[jt]*",
        "x/*/*",
        "*.*",
    ],
)
def test_patterns_name_the_same_files_everywhere(bucket: Path, pattern: str) -> None:
    for name in NAMES:
        (bucket / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket / name).write_bytes(b"")
    here = matching(f"{bucket}/{pattern}")
    assert here == [
        path for path in sorted(glob.glob(f"{bucket}/{pattern}", recursive=True)) if os.path.isfile(path)
    ]
    assert matching(f"kept://bucket/{pattern}") == [url_of(Path(path), bucket.parent) for path in here]
    expression = re.compile(pattern_expression(f"{bucket}/{pattern}"), re.DOTALL)
    assert sorted(f"{bucket}/{name}" for name in NAMES if expression.fullmatch(f"{bucket}/{name}")) == here


def test_folders_that_are_there_are_taken_by_their_names(tmp_path: Path) -> None:
    for name in ("[ab]/[12]/x.json", "[ab]/1/x.json", "a/1/x.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert matching(f"{tmp_path}/[ab]/[12]/*.json") == [f"{tmp_path}/[ab]/[12]/x.json"]
    assert matching(f"{tmp_path}/[ab]/[1]/*.json") == [f"{tmp_path}/[ab]/1/x.json"]
    assert matching(f"{tmp_path}/[a]/[12]/*.json") == [f"{tmp_path}/a/1/x.json"]


def test_folders_are_listed_with_all_below(bucket: Path) -> None:
    for name in NAMES:
        (bucket / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket / name).write_bytes(b"")
    (bucket / "x/empty").mkdir()
    assert files_below("kept://bucket") == sorted(NAMES)
    assert folders_in("kept://bucket") == ["x", "x1"]
    assert folders_in("kept://bucket/x") == [".hidden", "empty", "y"]
    assert files_below("kept://bucket/no") == folders_in("kept://bucket/no") == []


class WithFolders(KeptFileSystem):
    """A filesystem with true folders, of which Beam lists one at a time."""

    @classmethod
    def scheme(cls) -> str:
        return "folders"

    def has_dirs(self) -> bool:
        return True

    def here(self, url: str) -> Path:
        return super().here(url.replace("folders://", "kept://"))

    def _list(self, dir_or_prefix: str) -> Iterator[object]:
        for found in super()._list(f"{dir_or_prefix}/".replace("folders://", "kept://")):
            found.path = found.path.replace("kept://", "folders://")
            if "/" not in found.path.removeprefix(f"{dir_or_prefix}/"):
                yield found


def test_where_folders_cannot_be_listed_whole_that_is_told(bucket: Path) -> None:
    (bucket / "a.json").write_bytes(b"")
    assert matching("folders://bucket/*.json") == ["folders://bucket/a.json"]
    assert is_dir("folders://bucket")
    assert not is_dir("folders://bucket/b")
    with pytest.raises(StoreError, match=r"folders://bucket/: its folders cannot be listed .* \.tar files"):
        files_below("folders://bucket")
    with pytest.raises(StoreError, match="cannot be listed"):
        matching("folders://bucket/*/*.json")


# --- Errors ------------------------------------------------------------------------------------------


def test_errors_are_those_of_a_disk(bucket: Path) -> None:
    (bucket / "secret").write_bytes(b"x")
    for read in (stamp, read_bytes, open_input):
        with pytest.raises(FileNotFoundError, match="kept://bucket/nothing"):
            read("kept://bucket/nothing")
        with pytest.raises(PermissionError, match="403 Forbidden"):
            read("kept://bucket/secret")
        with pytest.raises(StoreError, match="no filesystem for nofs:// is installed"):
            read("nofs://bucket/a")
    # Neither is asked for again.
    assert asked() == {"metadata": 6}


@pytest.mark.parametrize(
    "fault",
    [
        StoreFault("no answer"),
        StoreFault("429 slow down", 429),
        StoreFault("503", 503),
        ConnectionResetError("peer"),
    ],
)
@pytest.mark.parametrize("failed", [1, 2])
def test_what_may_pass_is_tried_again(bucket: Path, fault: Exception, failed: int) -> None:
    (bucket / "a").write_bytes(b"123")
    KeptFileSystem.faults[:] = [fault] * failed
    assert read_bytes("kept://bucket/a") == b"123"
    with open_input("kept://bucket/a") as file:
        KeptFileSystem.faults[:] = [fault] * failed
        assert file.read() == b"123"
    KeptFileSystem.faults[:] = [fault] * failed
    assert matching("kept://bucket/*") == ["kept://bucket/a"]


def test_what_does_not_pass_is_told(bucket: Path) -> None:
    (bucket / "a").write_bytes(b"123")
    with open_input("kept://bucket/a") as file:
        KeptFileSystem.faults[:] = [StoreFault("503 busy", 503)] * 3
        with pytest.raises(
            StoreError, match=r"^kept://bucket/a: no answer .*, asked 3 times: StoreFault: 503 busy$"
        ):
            file.read()
        # An answer that says no is one.
        KeptFileSystem.faults[:] = [StoreFault("400 bad request", 400)] * 2
        with pytest.raises(StoreError, match=r"^kept://bucket/a: StoreFault: 400 bad request"):
            file.read()
        assert len(KeptFileSystem.faults) == 1


def test_a_file_that_was_cut_meanwhile_is_told(bucket: Path) -> None:
    (bucket / "a").write_bytes(bytes(1000))
    with open_input("kept://bucket/a", block=100) as file:
        assert len(file.read(200)) == 200
        (bucket / "a").write_bytes(bytes(250))
        with pytest.raises(StoreError, match="no byte came of"):
            file.read()


def test_programming_errors_are_not_hidden(bucket: Path) -> None:
    (bucket / "a").write_bytes(b"1")
    KeptFileSystem.faults[:] = [TypeError("a bug")]
    with pytest.raises(TypeError, match="a bug"):
        stamp("kept://bucket/a")


# --- Pictures ----------------------------------------------------------------------------------------

PICTURES = {f"p/{number}.jpg": bytes([number]) * (1000 + number) for number in range(1, 9)}


def in_folder(bucket: Path) -> str:
    for name, data in PICTURES.items():
        (bucket / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (bucket / "images" / name).write_bytes(data)
    return "images"


def in_tar(bucket: Path) -> str:
    with tarfile.open(bucket / "images.tar", "w") as tar:
        for name, data in PICTURES.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return "images.tar"


def in_zip(bucket: Path) -> str:
    with zipfile.ZipFile(bucket / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in PICTURES.items():
            archive.writestr(name, data)
    return "images.zip"


@pytest.mark.parametrize("pack", [in_folder, in_tar, in_zip])
def test_pictures_of_every_store(bucket: Path, pack: Callable[[Path], str]) -> None:
    images = pack(bucket)
    here, there = PictureStore(f"{bucket}/{images}"), PictureStore(f"kept://bucket/{images}")
    for name, data in PICTURES.items():
        assert there.picture(name).image_id == here.picture(name).image_id
        assert there.picture(name).locator.replace("kept://bucket", str(bucket)) == here.picture(name).locator
        assert image_bytes(there.picture(name).locator) == data
        assert there.holds(name)
    assert not there.holds("p/9.jpg")
    assert not there.holds("../p/1.jpg")
    with pytest.raises(BadImage, match=r"missing: no (file|member)"):
        image_bytes(there.picture("p/9.jpg").locator)


@pytest.mark.parametrize(
    ("pack", "most"),
    [
        # Size and content of each; the first page of a listing shows that it is a folder.
        (in_folder, {"list": 2, "metadata": 8, "range": 8}),
        # The tar is opened for its headers, then for its members.
        (in_tar, {"list": 2, "metadata": 3, "range": 9}),
        # The zip's list is read once.
        (in_zip, {"list": 2, "metadata": 3, "range": 6}),
    ],
)
def test_each_picture_is_one_request(bucket: Path, pack: Callable[[Path], str], most: dict[str, int]) -> None:
    store = PictureStore(f"kept://bucket/{pack(bucket)}")
    for name in PICTURES:
        image_bytes(store.picture(name).locator)
    found = asked()
    assert {what: found[what] for what in most} == {what: min(found[what], most[what]) for what in most}
    assert set(found) <= set(most)


def test_a_folder_is_listed_once_for_all_that_is_asked(bucket: Path) -> None:
    store = PictureStore(f"kept://bucket/{in_folder(bucket)}")
    forget()
    assert all(store.holds(name) for name in PICTURES)
    assert asked() == {"list": 1}


def test_cells_of_parquet(bucket: Path) -> None:
    table = pa.table({"image": [{"bytes": data, "path": None} for data in PICTURES.values()]})
    pq.write_table(table, bucket / "p.parquet", row_group_size=3)
    for row, data in enumerate(PICTURES.values()):
        assert image_bytes(Cell("kept://bucket/p.parquet", "image", row).locator) == data
    assert asked()["metadata"] <= 8
    with pytest.raises(BadImage, match="has 8 rows, no row 8"):
        image_bytes(Cell("kept://bucket/p.parquet", "image", 8).locator)
    with pytest.raises(BadImage, match=r"missing: no file q\.parquet"):
        image_bytes(Cell("kept://bucket/q.parquet", "image", 0).locator)


@pytest.mark.parametrize(
    "locator",
    [
        folder_locator("kept://bucket/images", "secret.jpg"),
        tar_locator("kept://bucket/secret.tar", 512, 3),
        zip_locator("kept://bucket/secret.zip", "a.jpg"),
    ],
)
def test_pictures_without_permission_are_rejected(bucket: Path, locator: str) -> None:
    for name in ("images/secret.jpg", "secret.tar", "secret.zip"):
        (bucket / name).parent.mkdir(exist_ok=True)
        (bucket / name).write_bytes(b"x")
    with pytest.raises(BadImage, match=r"unreadable: no permission for '?secret\."):
        image_bytes(locator)


def test_a_store_that_does_not_answer_loses_no_picture(bucket: Path) -> None:
    store = PictureStore(f"kept://bucket/{in_folder(bucket)}")
    locator = store.picture("p/1.jpg").locator
    KeptFileSystem.faults[:] = [StoreFault("503", 503)] * 2
    assert image_bytes(locator) == PICTURES["p/1.jpg"]
    KeptFileSystem.faults[:] = [StoreFault("503", 503)] * 3
    with pytest.raises(StoreError, match="no answer from the store"):
        image_bytes(locator)


def test_archives_far_away_are_read_as_here(bucket: Path) -> None:
    in_tar(bucket)
    in_zip(bucket)
    assert list(tar_members("kept://bucket/images.tar")) == list(tar_members(bucket / "images.tar"))
    assert list(samples("kept://bucket/images.tar")) == list(samples(bucket / "images.tar"))
    assert zip_members("kept://bucket/images.zip") == zip_members(str(bucket / "images.zip"))
    (bucket / "broken.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(UnusableImages, match=r"kept://bucket/broken\.tar: broken\.tar is no tar"):
        PictureStore("kept://bucket/broken.tar").picture("a.jpg")


# --- Pieces ------------------------------------------------------------------------------------------


def recipe_of(folder: Path, **source: object) -> Recipe:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "r", "sources": [{"name": "s", **source}]}), encoding="utf-8")
    return load_recipe(url_of(path, folder.parent))


def test_a_piece_is_read_by_its_range(bucket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.sources.lines.PIECE_BYTES", 100_000)
    monkeypatch.setattr("pipelines.inputs.BLOCK", 10_000)
    (bucket / "x.txt").write_text("".join(f"line {number:06d}\n" for number in range(50_000)))
    recipe = recipe_of(bucket, format="text", path="x.txt", tasks=["text"])
    parts = pieces(recipe)
    assert len(parts) == 6
    forget()
    assert len(list(read_records(recipe, parts[3]))) == pytest.approx(100_000 / 12, abs=2)
    ranges = [(start, end) for what, _, start, end in KeptFileSystem.requests if what == "range"]
    assert min(start for start, _ in ranges) >= parts[3].start - 1
    assert max(end for _, end in ranges) <= parts[3].end + 4 * 1024 * 1024


LONG = {"image": "a.png", "url": "http://x/a.png", "caption": "A dog.", "more": "x" * 5_000}


@pytest.mark.parametrize(
    ("kind", "records", "content", "fetched"),
    [
        ("jsonl", [{"image": "a.png", "caption": "A dog."}] * 900, "\n".join, 1),
        ("jsonl", [LONG] * 3, "\n".join, 3),
        ("json", [LONG] * 3, lambda lines: f"[{','.join(lines)}]", 2),
        ("capfilt", [LONG] * 3, lambda lines: f"[{','.join(lines)}]", 2),
    ],
)
def test_a_file_is_looked_at_as_rarely_as_its_format_allows(
    bucket: Path,
    kind: str,
    records: list[dict[str, str]],
    content: Callable[[list[str]], str],
    fetched: int,
) -> None:
    (bucket / "x.json").write_text(content([json.dumps(record) for record in records]))
    (bucket / "images").mkdir()
    (bucket / "images/a.png").touch()
    recipe = recipe_of(bucket, format=kind, path="x.json", images="images", tasks=["caption"])
    forget()
    pieces(recipe)
    asked = [what for what, url, _, _ in KeptFileSystem.requests if url.endswith("x.json")]
    assert asked.count("range") == fetched


def test_a_connection_that_fails_stops_the_piece(bucket: Path) -> None:
    (bucket / "x.txt").write_text("one\ntwo\n")
    recipe = recipe_of(bucket, format="text", path="x.txt", tasks=["text"])
    (piece,) = pieces(recipe)
    KeptFileSystem.faults[:] = [StoreFault("503", 503)] * 2
    assert not any(isinstance(record, Reject) for record in read_records(recipe, piece))
    KeptFileSystem.faults[:] = [StoreFault("503", 503)] * 3
    with pytest.raises(
        SourceError, match=r"^kept://bucket/x\.txt: cannot be read on: no answer from the store"
    ):
        list(read_records(recipe, piece))
    (bucket / "x.txt").unlink()
    with pytest.raises(SourceError, match=r"^kept://bucket/x\.txt: cannot be read on: No such file"):
        list(read_records(recipe, piece))


def test_what_is_on_this_machine_needs_no_beam(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("one\n")
    (tmp_path / "recipe.yaml").write_text(
        "name: r\nsources: [{name: s, format: text, path: x.txt, tasks: [text]}]", encoding="utf-8"
    )
    program = (
        "import sys; from pathlib import Path; from pipelines.recipe import load_recipe; "
        "from pipelines.sources import pieces, read_records; recipe = load_recipe(Path(sys.argv[1])); "
        "assert len(list(read_records(recipe, pieces(recipe)[0]))) == 1; "
        "assert 'apache_beam' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "recipe.yaml")], check=True, timeout=120)
