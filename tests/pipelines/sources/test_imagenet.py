"""ImageNet's pictures get their class from their folder or archive; what is no picture of a class is told."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines.examples import Reject
from pipelines.images import image_bytes
from pipelines.recipe import Recipe, SettingsError
from pipelines.records import Classified
from pipelines.sources import SourceError, imagenet, pieces, read_piece, read_records
from tests.pipelines.sources.conftest import MakeRecipe, examples, read_all

CLASSES = {
    "0": ["n01440764", "tench"],
    "1": ["n01443537", "goldfish"],
    "2": ["n02012849", "crane"],
    "3": ["n03126707", "crane"],
}
LABELS = {"DE": [[0, 1], ["Schleie", "Goldfisch"]]}


def picture(number: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (4, 4), (number, 0, 0)).save(data, "JPEG")
    return data.getvalue()


FILES = {
    f"{synset}/{synset}_{number}.JPEG": picture(10 * index + number)
    for index, synset in enumerate(("n01440764", "n01443537", "n02012849"))
    for number in (3, 18)
}


@pytest.fixture
def write_names(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES))
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))


def source(images: str, **more: Any) -> dict[str, Any]:
    return {
        "format": "imagenet",
        "classes": "classes.json",
        "labels": "labels.json",
        "images": images,
        **more,
    }


def write_folder(folder: Path, files: dict[str, bytes] = FILES) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def write_tar(path: Path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def write_zip(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def read_classes(recipe: Recipe) -> tuple[list[Classified], list[Reject]]:
    found = [record for piece in pieces(recipe) for record in read_records(recipe, piece)]
    classified = [one for one in found if isinstance(one, Classified)]
    rejected = [one for one in found if isinstance(one, Reject)]
    assert len(classified) + len(rejected) == len(found)
    return classified, rejected


EXPECTED = [(Path(name).stem, key) for name, key in zip(FILES, "001122", strict=True)]


@pytest.mark.usefixtures("write_names")
@pytest.mark.parametrize("part", ["", "train/", "val/"])
def test_a_folder_of_synsets(tmp_path: Path, make_recipe: MakeRecipe, part: str) -> None:
    write_folder(tmp_path / "imagenet", {part + name: data for name, data in FILES.items()})
    found, none = read_classes(make_recipe(**source("imagenet")))
    assert not none
    assert sorted((one.source_id, one.name) for one in found) == sorted(EXPECTED)
    assert {one.source_id: image_bytes(one.picture.locator) for one in found} == {
        Path(name).stem: data for name, data in FILES.items()
    }


@pytest.mark.usefixtures("write_names")
@pytest.mark.parametrize("packed", ["tar", "zip", "tars"])
def test_archives_give_the_ids_of_the_folder(tmp_path: Path, make_recipe: MakeRecipe, packed: str) -> None:
    write_folder(tmp_path / "folder")
    inside = {f"./train/{name}" if packed == "tar" else f"ILSVRC/{name}": FILES[name] for name in FILES}
    if packed == "tar":
        write_tar(tmp_path / "imagenet.tar", inside)
    elif packed == "zip":
        write_zip(tmp_path / "imagenet.zip", inside)
    else:
        # As ImageNet comes: an archive for each class, without folders.
        for synset in {name.split("/")[0] for name in FILES}:
            own = {name.split("/")[1]: FILES[name] for name in FILES if name.startswith(synset)}
            write_tar(tmp_path / "tars" / f"{synset}.tar", own)
    images = "tars/*.tar" if packed == "tars" else f"imagenet.{packed}"
    found, none = read_classes(make_recipe(**source(images)))
    folder, _ = read_classes(make_recipe(**source("folder")))

    def said(records: list[Classified]) -> set[tuple[str, str, str, bytes]]:
        return {
            (one.source_id, one.name, one.picture.image_id, image_bytes(one.picture.locator))
            for one in records
        }

    assert len(found) == 6
    assert not none
    assert said(found) == said(folder)


@pytest.mark.usefixtures("write_names")
def test_a_naming_and_a_yes_or_no_come_of_each_picture(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write_folder(tmp_path / "imagenet")
    found = examples(read_all(make_recipe(**source("imagenet"))))
    tasks = [(one.source_id, one.task) for one in found]
    assert sorted(tasks) == sorted(
        (one, task) for one, _ in EXPECTED for task in ("classify", "classify_yes_no")
    )
    naming = next(one for one in found if one.id == "s/n01440764_18/classify")
    assert (naming.prompt, naming.target.text, naming.target.name) == (None, "tench", "0")
    assert naming.image_id == "n01440764_18"


@pytest.mark.usefixtures("write_names")
def test_pieces_part_the_classes(
    tmp_path: Path, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "imagenet", {**FILES, "other/a.jpg": b"x"})
    recipe = make_recipe(**source("imagenet"))
    whole = read_classes(recipe)
    monkeypatch.setattr(imagenet, "PIECE_CLASSES", 1)
    assert len(pieces(recipe)) == len(CLASSES)
    parted = read_classes(recipe)
    assert [sorted(map(repr, kind)) for kind in parted] == [sorted(map(repr, kind)) for kind in whole]
    assert [len(kind) for kind in whole] == [6, 1]


@pytest.mark.usefixtures("write_names")
def test_what_is_no_picture_of_a_class_is_told_once_a_folder(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    odd = {
        "n01440764/n01440764_18.xml": b"<annotation/>",
        "n01440764/readme.txt": b"",
        "n01440764/.DS_Store": b"",
        "n01440764/deeper/n01440764_1.JPEG": b"",
        "n09999999/n09999999_1.JPEG": b"",
        "n09999999/n09999999_2.JPEG": b"",
        "tench/1.jpg": b"",
        ".git/config": b"",
    }
    write_folder(tmp_path / "imagenet", {**FILES, **odd})
    _, found = read_classes(make_recipe(**source("imagenet")))
    left = "is no class of `classes`; what is in it was left out, files"
    assert [one.reason.removeprefix("source: imagenet/") for one in found] == [
        "n01440764 file 0: no picture: 'deeper'; files of n01440764 left out for that: 3",
        f"n09999999 file 0: 'n09999999' {left}: 2",
        f"tench file 0: 'tench' {left}: 1",
    ]
    assert len({one.source_id for one in found}) == 3


@pytest.mark.usefixtures("write_names")
def test_names_that_do_not_hold_the_synset_are_ids_with_it(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    files = {"n01440764/1.jpg": b"a", "n01443537/1.jpg": b"b", "n01443537/a\nb.jpg": b"c"}
    write_folder(tmp_path / "imagenet", files)
    found, (rejected,) = read_classes(make_recipe(**source("imagenet")))
    assert [one.source_id for one in found] == ["n01440764/1", "n01443537/1"]
    assert "'n01443537/a\\nb', an id has 1 to 200 printable characters" in rejected.reason


@pytest.mark.usefixtures("write_names")
def test_links_in_a_tar_are_told(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write_tar(tmp_path / "imagenet.tar", FILES)
    with tarfile.open(tmp_path / "imagenet.tar", "a") as tar:
        info = tarfile.TarInfo("n02012849/n02012849_99.JPEG")
        info.type, info.linkname = tarfile.SYMTYPE, "n02012849_3.JPEG"
        tar.addfile(info)
    found, (rejected,) = read_classes(make_recipe(**source("imagenet.tar")))
    assert len(found) == 6
    assert rejected.reason.endswith(
        "no picture: 'n02012849_99.JPEG'; files of n02012849 left out for that: 1"
    )


@pytest.mark.usefixtures("write_names")
def test_a_tar_that_breaks_off_is_told_after_what_is_whole(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write_tar(tmp_path / "imagenet.tar", FILES)
    recipe = make_recipe(**source("imagenet.tar"))
    (piece,) = pieces(recipe)
    data = (tmp_path / "imagenet.tar").read_bytes()
    (tmp_path / "imagenet.tar").write_bytes(data[: data.index(b"n02012849") + 600])
    records = list(read_records(recipe, piece))
    assert [type(one) for one in records] == [Classified] * 4 + [Reject]
    assert isinstance(records[-1], Reject)
    assert records[-1].reason.startswith("truncated: imagenet.tar byte ")


@pytest.mark.usefixtures("write_names")
def test_images_of_another_layout_are_a_wrong_recipe(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    def refused(images: str) -> str:
        with pytest.raises(SettingsError) as caught:
            pieces(make_recipe(**source(images)))
        assert caught.value.key == "sources.0.images"
        return str(caught.value)

    write_folder(tmp_path / "flat", {"ILSVRC2012_val_00000001.JPEG": b""})
    assert "has no folder of a class, such as n01440764; there: no folder" in refused("flat")
    write_folder(tmp_path / "words", {"tench/1.jpg": b""})
    assert "has no folder of a class, such as n01440764; there: tench" in refused("words")
    write_folder(tmp_path / "both", {f"{part}/{name}": b"" for part in ("train", "val") for name in FILES})
    assert "both holds several parts; name " in refused("both")
    write_tar(tmp_path / "whole.tar", {"n01440764.tar": b"x" * 512})
    assert "whole.tar holds an archive for each class (n01440764.tar, ...); unpack it" in refused("whole.tar")
    write_zip(tmp_path / "flat.zip", {"val/ILSVRC2012_val_00000001.JPEG": b""})
    assert "flat.zip: neither its name nor a folder in it is a class" in refused("flat.zip")
    write_tar(tmp_path / "empty.tar", {})
    assert "it holds nothing" in refused("empty.tar")
    (tmp_path / "packed.tar").write_bytes(b"\x1f\x8b" + bytes(100))
    assert "packed.tar is compressed with gzip" in refused("packed.tar")
    (tmp_path / "images.txt").write_text("no archive")
    assert "is no .zip or uncompressed .tar file" in refused("images.txt")


@pytest.mark.usefixtures("write_names")
def test_a_folder_that_is_gone_stops_the_run(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    write_tar(tmp_path / "imagenet.tar", FILES)
    recipe = make_recipe(**source("imagenet.tar"))
    (piece,) = pieces(recipe)
    (tmp_path / "imagenet.tar").unlink()
    with pytest.raises(SourceError, match=r"imagenet.tar: cannot be read on: No such file"):
        list(read_piece(recipe, piece))


_STEMS = st.sampled_from(["_1", "_2", "_ 3", "_\n4", "_é", "_a.b", "_", "x", "." + "y", "_" + "z" * 195])
_ENDS = st.sampled_from([".JPEG", ".JPEG", ".JPEG", ".jpg", ".txt", "", ".JPEG.JPEG", "/"])


@pytest.mark.usefixtures("write_names")
@given(files=st.sets(st.tuples(st.sampled_from(["n01440764", "n0"]), _STEMS, _ENDS), max_size=6))
@example(files={("n01440764", "_1", ".JPEG"), ("n01440764", "_a.b", ".JPEG")})
@example(files={("n01440764", "_2", ".JPEG"), ("n01440764", "_1", "/")})
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_files_of_a_class_are_together_what_each_is(
    tmp_path_factory: pytest.TempPathFactory, make_recipe: MakeRecipe, files: set[tuple[str, str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("imagenet")
    write_folder(folder, {"n01443537/a.jpg": b""})
    for name in ("".join(parts) for parts in sorted(files)):
        path = folder / "n01440764" / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            path.mkdir() if name.endswith("/") else path.touch()
    recipe = make_recipe(**source(str(folder)))
    together = read_classes(recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imagenet, "_together", lambda *_: None)
        assert read_classes(recipe) == together
