from __future__ import annotations

import io
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.conftest import MakeMix, jpeg
from training import stored
from training.mixes import Mix, MixError
from training.pictures import BadPicture
from training.stored import StoredPictures


@pytest.fixture
def folder(make_mix: MakeMix) -> Path:
    return make_mix({"deu_Latn": 3})


def store_of(folder: Path) -> StoredPictures:
    return StoredPictures(Mix(str(folder)))


def cell(path: Any = None, data: bytes | None = None) -> dict[str, Any]:
    return {"bytes": data, "path": path if path is None else str(path)}


def reason_of(store: StoredPictures, given: dict[str, Any], shared_id: str | None = None) -> tuple[str, str]:
    with pytest.raises(BadPicture) as raised:
        store.get(given, shared_id)
    return raised.value.reason, raised.value.detail


def test_bytes_in_the_row_come_first(folder: Path) -> None:
    assert store_of(folder).get(cell("nowhere.jpg", b"bytes"), "id") == b"bytes"


def test_a_referenced_file_is_read(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a b.jpg").write_bytes(b"outside")
    (tmp_path / "odd#row=1.jpg").write_bytes(b"odd")
    (folder / "pictures").mkdir()
    (folder / "pictures/c.jpg").write_bytes(b"inside")
    store = store_of(folder)
    assert store.get(cell(tmp_path / "a b.jpg"), None) == b"outside"
    assert store.get(cell(f"{tmp_path}/odd#row=1.jpg#file"), None) == b"odd"
    assert store.get(cell("pictures/c.jpg"), None) == b"inside"


def test_members_of_archives_are_read(folder: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("x.jpg")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"inner"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("d/y.jpg", b"zipped")
    store = store_of(folder)
    assert store.get(cell(f"{tmp_path}/a.tar#offset=512&size=5"), None) == b"inner"
    assert store.get(cell(f"{tmp_path}/a.zip#member=d%2Fy.jpg"), None) == b"zipped"
    assert reason_of(store, cell(f"{tmp_path}/a.zip#member=z.jpg"))[0] == "missing"
    assert reason_of(store, cell(f"{tmp_path}/a.tar#member=z.jpg"))[0] == "missing"


def test_pictures_at_a_url_are_read(folder: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    with fsspec.open("memory://pictures/a.jpg", "wb") as file:
        file.write(b"remote")
    assert store_of(folder).get(cell("memory://pictures/a.jpg"), None) == b"remote"


def test_members_of_archives_at_a_url_are_read(folder: Path, tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped:
        zipped.writestr("d/y.jpg", b"zipped")
        zipped.writestr("z.jpg", b"picture " * 100_000, zipfile.ZIP_DEFLATED)
    with fsspec.open("memory://archives/a.zip", "wb") as file:
        file.write((tmp_path / "a.zip").read_bytes())
    store = store_of(folder)
    assert store.get(cell("memory://archives/a.zip#member=d%2Fy.jpg"), None) == b"zipped"
    assert store.get(cell("memory://archives/a.zip#member=z.jpg"), None) == b"picture " * 100_000
    assert reason_of(store, cell("memory://archives/b.zip#member=z.jpg"))[0] == "missing"


def zips_of(folder: Path, count: int) -> list[str]:
    for number in range(count):
        with zipfile.ZipFile(folder / f"{number}.zip", "w") as zipped:
            for member in range(20):
                zipped.writestr(f"{member}.jpg", f"{number} {member}".encode() * 5000)
    return [f"{folder}/{number}.zip#member={member}.jpg" for number in range(count) for member in range(20)]


def test_the_members_of_a_zip_are_listed_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []

    class Counted(zipfile.ZipFile):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            opened.append(arguments)
            super().__init__(*arguments, **options)

    monkeypatch.setattr(stored, "ZipFile", Counted)
    monkeypatch.setattr(stored, "OPEN_ZIPS", 2)
    names = zips_of(tmp_path, 3)
    store = store_of(folder)
    for name in names:
        store.get(cell(name), None)
    assert len(opened) == 3
    # The one that was used longest ago is open no more.
    store.get(cell(names[-1]), None)
    assert len(opened) == 3
    store.get(cell(names[0]), None)
    assert len(opened) == 4


def test_threads_and_processes_read_the_same_zips(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "OPEN_ZIPS", 2)
    names = zips_of(tmp_path, 4) * 5
    store = store_of(folder)

    def right(name: str) -> bool:
        number, member = Path(name.partition("#")[0]).stem, name.partition("=")[2].removesuffix(".jpg")
        return store.get(cell(name), None) == f"{number} {member}".encode() * 5000

    assert right(names[0])
    child = os.fork()
    if not child:
        os._exit(0 if all(map(right, names)) else 1)
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(right, names))
    assert os.waitpid(child, 0)[1] == 0


def test_what_is_no_file_is_told(folder: Path, tmp_path: Path) -> None:
    store = store_of(folder)
    assert reason_of(store, cell("/nowhere/a.jpg")) == ("missing", "no file /nowhere/a.jpg")
    assert reason_of(store, cell())[0] == "missing"
    assert reason_of(store, cell(data=b"")) == ("missing", "0 bytes")
    assert reason_of(store, cell(tmp_path))[0] == "missing"
    assert reason_of(store, cell("https://example.org/a.jpg"))[0] == "missing"
    reason, detail = reason_of(store, cell("/data/a.parquet#column=image&row=12"))
    assert reason == "not a file"
    assert "images: embed" in detail


def test_a_huge_file_is_not_read(folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(101 * 2**20)
    assert reason_of(store_of(folder), cell(tmp_path / "huge.jpg"))[0] == "too large"


def write_shared(folder: Path, ids: list[str], name: str = "00000.parquet") -> None:
    (folder / "images").mkdir(exist_ok=True)
    pictures = [{"bytes": jpeg(number), "path": None} for number, _ in enumerate(ids)]
    table = pa.table({"image_id": ids, "image": pictures})
    pq.write_table(table, folder / "images" / name, row_group_size=2)


@pytest.mark.parametrize("what", ["damaged", "encrypted"])
def test_a_member_of_a_zip_that_cannot_be_unpacked_is_a_bad_picture(
    folder: Path, tmp_path: Path, what: str
) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("y.jpg", b"picture " * 400)
    data = bytearray((tmp_path / "a.zip").read_bytes())
    if what == "damaged":
        data[35:41] = b"\xff" * 6
    else:
        # The first bit of the flags, in the member's header and in the directory.
        data[6] |= 1
        data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(data)
    reason, detail = reason_of(store_of(folder), cell(f"{tmp_path}/a.zip#member=y.jpg"))
    assert reason == "broken"
    assert "a.zip member y.jpg" in detail


def test_shared_pictures_are_found_by_their_id(folder: Path) -> None:
    write_shared(folder, ["c", "a", "bb", "ä", "z"])
    write_shared(folder, ["other"], "00001.parquet")
    store = store_of(folder)
    found = [store.get(cell("a.jpg"), name) for name in ("c", "a", "bb", "ä", "z", "other")]
    assert found == [*(jpeg(number) for number in range(5)), jpeg(0)]
    assert reason_of(store, cell(), "b") == ("missing", "images/ of the mix has no picture 'b'")


def test_without_shared_pictures_the_path_counts(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"file")
    assert store_of(folder).get(cell(tmp_path / "a.jpg"), "some id") == b"file"


def test_a_damaged_row_group_of_shared_pictures_stops_the_run(folder: Path) -> None:
    write_shared(folder, ["a", "b", "c"])
    path = folder / "images/00000.parquet"
    column = pq.read_metadata(path).row_group(1).column(1)
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    store = store_of(folder)
    assert store.get(cell(), "a") == jpeg(0)
    with pytest.raises(MixError, match=r"images/00000\.parquet: not readable as Parquet"):
        store.get(cell(), "c")


def test_broken_shared_pictures_stop_the_run(folder: Path) -> None:
    (folder / "images").mkdir()
    (folder / "images/00000.parquet").write_bytes(b"nothing")
    with pytest.raises(MixError, match=r"images/00000\.parquet: not readable as Parquet"):
        store_of(folder).get(cell(), "a")
    pq.write_table(pa.table({"id": ["a"]}), folder / "images/00000.parquet")
    with pytest.raises(MixError, match=r"images/00000\.parquet: no column 'image_id'"):
        store_of(folder).get(cell(), "a")
