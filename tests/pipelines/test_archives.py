"""Members of tar and zip files are listed in one pass, read alone, and never taken from a damaged archive."""

from __future__ import annotations

import io
import os
import random
import tarfile
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import pytest

from pipelines.archives import (
    OPEN_ZIPS,
    BadArchive,
    BadMember,
    Member,
    Sample,
    samples,
    tar_bytes,
    tar_members,
    zip_bytes,
    zip_members,
)

LIMIT = 10_000

Item = TypeVar("Item")


def write_tar(path: Path, files: dict[str, bytes], tar_format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=tar_format) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_zip(path: Path, files: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def gather(items: Iterable[Item], found: list[Item]) -> None:
    """Unlike `list`, keeps what came before an error."""
    for item in items:
        found.append(item)


FILES = {
    "a/b.jpg": b"first" * 200,
    "empty.jpg": b"",
    "ü/" + "long" * 60 + ".jpg": b"third",
    "z.txt": b"z" * 512,
}


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_of_a_tar_are_read_by_their_place(tmp_path: Path, tar_format: int) -> None:
    files = {
        name: data for name, data in FILES.items() if tar_format != tarfile.USTAR_FORMAT or len(name) < 90
    }
    path = write_tar(tmp_path / "x.tar", files, tar_format)
    listed = list(tar_members(path))
    assert [member.name for member in listed] == list(files)
    for member in reversed(listed):
        assert tar_bytes(str(path), member.offset, member.size, LIMIT) == files[member.name]


def test_folders_are_no_members_and_links_name_their_target(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind, target in (
            ("a", tarfile.DIRTYPE, ""),
            ("a/hard.jpg", tarfile.LNKTYPE, "b/c.jpg"),
            ("a/soft.jpg", tarfile.SYMTYPE, "../b/c.jpg"),
            ("pipe", tarfile.FIFOTYPE, ""),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
    assert [(member.name, member.link) for member in tar_members(path)] == [
        ("a/hard.jpg", "b/c.jpg"),
        ("a/soft.jpg", "a/../b/c.jpg"),
    ]


def test_a_tar_cut_anywhere_gives_what_is_whole_and_then_the_byte(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", FILES)
    whole = path.read_bytes()
    members = list(tar_members(path))
    end = members[-1].offset + 512
    for length in [*range(0, end + 1, 256), *random.Random(0).sample(range(end), 20)]:
        path.write_bytes(whole[:length])
        found: list[Member] = []
        with pytest.raises(
            BadArchive, match=r"x\.tar is (no tar|truncated|damaged).* at byte [\d,]+"
        ) as caught:
            gather(tar_members(path), found)
        assert found == [member for member in members if member.offset + member.size <= length]
        assert str(tmp_path) not in str(caught.value)


def test_damage_between_members_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", FILES)
    second = list(tar_members(path))[1]
    data = bytearray(path.read_bytes())
    data[second.position + 5] ^= 0xFF
    path.write_bytes(data)
    members = tar_members(path)
    assert next(members).name == "a/b.jpg"
    with pytest.raises(BadArchive, match=rf"x\.tar is damaged \(.*\) at byte {second.position:,}"):
        next(members)


def test_random_damage_of_headers_never_hangs_or_raises_anything_else(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", FILES)
    whole = path.read_bytes()
    headers = [member.position for member in tar_members(path)]
    chance = random.Random(0)
    damaged = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(3):
            data[chance.choice(headers) + chance.randrange(1536) % (len(data) - headers[-1])] = (
                chance.randrange(256)
            )
        path.write_bytes(data)
        try:
            assert len(list(tar_members(path))) <= len(FILES)
        except BadArchive:
            damaged += 1
    assert damaged > 100


@pytest.mark.parametrize("size", [-1, -1024, -(2**40)])
def test_a_size_below_zero_does_not_lead_back(tmp_path: Path, size: int) -> None:
    info = tarfile.TarInfo("a.jpg")
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = size.to_bytes(12, "big", signed=True)
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    (tmp_path / "x.tar").write_bytes(bytes(block) + bytes(10240))
    with pytest.raises(BadArchive, match=r"at byte 0"):
        list(tar_members(tmp_path / "x.tar"))


def test_a_header_that_claims_gigabytes_is_refused_before_it_is_read(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.jpg")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**31
    path = write_tar(tmp_path / "x.tar", {"a.jpg": b"a"})
    path.write_bytes(path.read_bytes()[:1024] + info.tobuf(tarfile.GNU_FORMAT))
    os.truncate(path, 2**31 + 4096)
    with pytest.raises(BadArchive, match=r"damaged \(a header says it is 2147\d+ bytes long\) at byte 1,024"):
        list(tar_members(path))


def test_joined_tars_are_refused_where_the_second_one_starts(tmp_path: Path) -> None:
    one, two = write_tar(tmp_path / "1.tar", {"a": b"a"}), write_tar(tmp_path / "2.tar", {"b": b"b"})
    one.write_bytes(one.read_bytes() + two.read_bytes())
    with pytest.raises(BadArchive, match=r"1\.tar goes on at byte 10,240 after its end mark at byte 1,024"):
        list(tar_members(one))


@pytest.mark.parametrize(("suffix", "kind"), [("gz", "gzip"), ("bz2", "bzip2"), ("xz", "xz")])
def test_compressed_tars_are_refused_by_what_they_are(tmp_path: Path, suffix: str, kind: str) -> None:
    with tarfile.open(tmp_path / "x.tar", f"w:{suffix}") as tar:  # type: ignore[call-overload]
        tar.addfile(tarfile.TarInfo("a"), io.BytesIO())
    with pytest.raises(BadArchive, match=rf"x\.tar is compressed with {kind}.*decompress it first"):
        list(tar_members(tmp_path / "x.tar"))


def test_what_is_no_tar_is_refused(tmp_path: Path) -> None:
    for data in (b"", b"not a tar", bytes(range(256)) * 8):
        (tmp_path / "x.tar").write_bytes(data)
        with pytest.raises(BadArchive, match=r"x\.tar is no tar, or damaged at byte 0"):
            list(tar_members(tmp_path / "x.tar"))


def test_a_place_in_a_tar_that_changed_gives_no_bytes(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "x.tar", FILES)
    first = next(iter(tar_members(path)))
    for offset, size in (
        (first.offset + 512, first.size),
        (first.offset, first.size - 1),
        (first.offset + 1, 7),
        (0, 5),
        (10**9, 5),
    ):
        with pytest.raises(BadMember, match=r"x\.tar has no member of .* at byte"):
            tar_bytes(str(path), offset, size, LIMIT)
    with pytest.raises(BadMember, match=r"too large: 10,001 bytes, at most 10,000"):
        tar_bytes(str(path), first.offset, LIMIT + 1, LIMIT)
    path.unlink()
    with pytest.raises(BadMember, match=r"missing: no file x\.tar"):
        tar_bytes(str(path), first.offset, first.size, LIMIT)


def test_samples_are_runs_of_files_with_one_key(tmp_path: Path) -> None:
    files = {
        "__meta__/notes.txt": b"-",
        "0/000001.jpg": b"picture",
        "0/000001.txt": b"a dog",
        "0/000001.seg.PNG": b"mask",
        "0/000002.json": b"{}",
        "no-extension": b"-",
        "0/000002.jpg": b"",
        "v1.5/000003.jpg": b"third",
    }
    path = write_tar(tmp_path / "x.tar", files)
    found = list(samples(path))
    assert [(sample.key, list(sample.files), sample.faults) for sample in found] == [
        ("0/000001", ["jpg", "txt", "seg.png"], ()),
        ("0/000002", ["json", "jpg"], ()),
        ("v1.5/000003", ["jpg"], ()),
    ]
    assert tar_bytes(str(path), *found[0].files["txt"], LIMIT) == b"a dog"
    assert tar_bytes(str(path), *found[0].files["seg.png"], LIMIT) == b"mask"


def test_a_sample_says_what_makes_it_unsafe(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("1.jpg", b"one"), ("1.JPG", b"two"), ("2.jpg", b"2")):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo("2.txt")
        info.type, info.linkname = tarfile.LNKTYPE, "1.txt"
        tar.addfile(info)
    first, second = samples(path)
    assert first.faults == ("'jpg' stands twice",)
    assert tar_bytes(str(path), *first.files["jpg"], LIMIT) == b"one"
    assert second.faults == ("'txt' is a link",)
    assert list(second.files) == ["jpg"]


def test_a_truncated_shard_gives_the_whole_samples_before_and_names_the_last(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "x.tar", {f"{key}.{end}": b"x" * 600 for key in "123" for end in ("jpg", "txt")}
    )
    third = list(samples(path))[2]
    os.truncate(path, third.files["txt"][0] + 100)
    found: list[Sample] = []
    with pytest.raises(BadArchive, match=r"x\.tar is truncated at byte .*; the sample '3' right before"):
        gather(samples(path), found)
    assert [sample.key for sample in found] == ["1", "2"]


@pytest.mark.parametrize(
    "packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
)
def test_members_of_a_zip_are_read_by_their_name(tmp_path: Path, packing: int) -> None:
    path = write_zip(tmp_path / "x.zip", {"folder/": b"", **FILES}, packing)
    assert zip_members(str(path)) == list(FILES)
    for name, data in reversed(FILES.items()):
        assert zip_bytes(str(path), name, LIMIT) == data
    for name in ("gone.jpg", "folder/"):
        with pytest.raises(BadMember, match=rf"missing: no member '{name}' of x\.zip"):
            zip_bytes(str(path), name, LIMIT)


def test_a_zip_that_is_written_anew_is_read_anew(tmp_path: Path) -> None:
    for data in (b"old", b"newer"):
        path = write_zip(tmp_path / "x.zip", {"a": data})
        assert zip_bytes(str(path), "a", LIMIT) == data


@pytest.mark.parametrize("packing", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_is_refused_by_its_header_and_while_it_is_unpacked(tmp_path: Path, packing: int) -> None:
    path = write_zip(tmp_path / "x.zip", {"a": bytes(LIMIT + 1)}, packing)
    with pytest.raises(BadMember, match=r"'a' of x\.zip is too large: 10,001 bytes, at most 10,000"):
        zip_bytes(str(path), "a", LIMIT)
    # One whose headers lie about the size: that before the data and that in the list at the end.
    path = write_zip(tmp_path / "liar.zip", {"a": bytes(20_000_000)}, packing)
    data = path.read_bytes()
    true, false = (20_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little")
    assert data.count(true) == 2
    path.write_bytes(data.replace(true, false))
    with pytest.raises(BadMember, match=r"'a' of liar\.zip is broken: .*"):
        zip_bytes(str(path), "a", LIMIT)


def test_broken_and_encrypted_members_are_named_and_the_others_still_read(tmp_path: Path) -> None:
    noise = random.Random(0).randbytes(2000)
    path = write_zip(tmp_path / "x.zip", {"a": noise, "b": noise[::-1]}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    with pytest.raises(BadMember, match=r"'a' of x\.zip is broken: BadZipFile: Bad CRC-32"):
        zip_bytes(str(path), "a", LIMIT)
    assert zip_bytes(str(path), "b", LIMIT) == noise[::-1]
    path = write_zip(tmp_path / "secret.zip", {"a": b"a"})
    data = bytearray(path.read_bytes())
    for start in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[start] |= 1
    path.write_bytes(data)
    with pytest.raises(BadMember, match="is encrypted"):
        zip_bytes(str(path), "a", LIMIT)
    path = write_zip(tmp_path / "odd.zip", {"a": b"a" * 99})
    data = bytearray(path.read_bytes())
    for start in (data.index(b"PK\x03\x04") + 8, data.index(b"PK\x01\x02") + 10):
        data[start] = 9  # Deflate64, as Windows packs large files
    path.write_bytes(data)
    with pytest.raises(BadMember, match="packed in an unknown way"):
        zip_bytes(str(path), "a", LIMIT)


def test_random_damage_of_a_zip_raises_nothing_unnamed(tmp_path: Path) -> None:
    whole = write_zip(tmp_path / "x.zip", FILES).read_bytes()
    chance = random.Random(0)
    faults = 0
    for round_number in range(300):
        data = bytearray(whole)
        for _ in range(4):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = tmp_path / f"{round_number}.zip"
        path.write_bytes(data[: chance.choice([len(data), len(data), chance.randrange(len(data))])])
        try:
            for name in zip_members(str(path)):
                zip_bytes(str(path), name, LIMIT)
        except (BadArchive, BadMember):
            faults += 1
    assert faults > 100


def test_more_zips_than_are_kept_open_are_read_all_the_same(tmp_path: Path) -> None:
    paths = [write_zip(tmp_path / f"{number}.zip", {"a": b"%d" % number}) for number in range(OPEN_ZIPS + 8)]
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(2):
        assert [zip_bytes(str(path), "a", LIMIT) for path in paths] == [b"%d" % n for n in range(len(paths))]
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + OPEN_ZIPS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked_processes_do_not_disturb_each_other(tmp_path: Path) -> None:
    files = {f"{number}": random.Random(number).randbytes(5000) for number in range(50)}
    path = str(write_zip(tmp_path / "x.zip", files))
    assert zip_bytes(path, "0", LIMIT) == files["0"]
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            good = all(zip_bytes(path, name, LIMIT) == data for _ in range(5) for name, data in files.items())
            os._exit(0 if good else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_tar_of_headers_before_headers_is_damaged(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("x")
    header.type = kind
    path = tmp_path / "chain.tar"
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) * 3_000 + bytes(1024))
    with pytest.raises(BadArchive, match="damaged"):
        list(tar_members(str(path)))


def pax_tar(path: Path, records: bytes) -> Path:
    header = tarfile.TarInfo("records")
    header.type, header.size = tarfile.XHDTYPE, len(records)
    padding = bytes(-len(records) % tarfile.BLOCKSIZE)
    member = tarfile.TarInfo("a.jpg").tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(header.tobuf(tarfile.USTAR_FORMAT) + records + padding + member + bytes(1024))
    return path


@pytest.mark.parametrize(
    "records",
    [
        b"0" * 3_000_000 + b" path=x",
        b"3000012 path=" + b"0" * 2_999_998 + b"\n",
        b"4 a\n" * 100_000 + b"=",
        b"0 a=b\n",
        b"900 a=b\n",
    ],
)
def test_a_header_of_records_that_are_none_is_damaged(tmp_path: Path, records: bytes) -> None:
    begun = time.monotonic()
    with pytest.raises(BadArchive, match=r"damaged at byte 0: .*record"):
        list(tar_members(pax_tar(tmp_path / "x.tar", records)))
    assert time.monotonic() - begun < 5


def test_records_of_a_header_are_read(tmp_path: Path) -> None:
    name = "1" * 250 + ".jpg"
    records = b"%d path=%s\n29 mtime=1350244992.02396010\n" % (len(name) + 10, name.encode())
    [member] = tar_members(pax_tar(tmp_path / "x.tar", records))
    assert member.name == name
