from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.conftest import MakeMix, jpeg
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
