"""`images: shared`: each picture once, the rows name it, and training sees what an embedding mix shows."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pipelines.cli import main
from pipelines.images import MAX_BYTES
from pipelines.manifest import read_manifest
from pipelines.mix_files import IMAGE_SCHEMA
from pipelines.shared_images import PICTURES_PER_GROUP, Shown, TellApart, _groups
from pipelines.sink import ROW_GROUP_BYTES
from pipelines.verify import problems
from tests.training.conftest import tokenizer  # noqa: F401 (a fixture)
from training.loader import Loader, LoaderSettings, MixWeight
from training.mixes import Mix
from training.order import OrderSettings
from training.pictures import PictureSettings
from training.stored import StoredPictures

FILE = "images/images-00000-of-00001.parquet"
STATEMENTS = 6
ONE_NAME = "1"
"""Two sources have different pictures of this name."""


def command(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--quiet"])
    assert stop.value.code == 0


def run(recipe: Path, mix: Path, *settings: str) -> Path:
    command("run", str(recipe), "--output", str(mix), *(part for one in settings for part in ("--set", one)))
    return mix


def noise(path: Path, seed: int, side: int = 24) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[[Path], Path]) -> Path:
    """Captions and questions about the same pictures, pairs of pictures, and two pictures of one name."""
    path = make_recipe(tmp_path_factory.mktemp("recipe") / "tiny")
    folder = path.parent
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content |= {"round_trip": "none", "filters": {"length_ratio": {"min": None, "max": 1.2}}}
    statements = []
    for number in range(STATEMENTS):
        # Neighbours share a picture: p-0 and p-1, p-1 and p-2, ...
        names = [f"p-{number}", f"p-{number + 1}"]
        for name in names:
            noise(folder / "pairs" / f"{name}.png", int(name[2:]))
        line = {"concept": "c", "language": "tr", "caption": f"Resim {number}.", "id": f"tr-{number}"}
        line |= {"left_img": f"{names[0]}.png", "right_img": f"{names[1]}.png", "label": True}
        statements.append(json.dumps(line))
    (folder / "pairs.jsonl").write_text("\n".join(statements) + "\n", encoding="utf-8")
    for place, folder_name in enumerate(("a", "b")):
        noise(folder / folder_name / f"{ONE_NAME}.png", 100 + place)
        line = json.dumps({"id": "x", "image": f"{ONE_NAME}.png", "caption": f"red heart {folder_name}"})
        (folder / f"{folder_name}.jsonl").write_text(line + "\n", encoding="utf-8")
        content["sources"].append(
            {
                "name": folder_name,
                "format": "jsonl",
                "path": f"{folder_name}.jsonl",
                "images": folder_name,
                "tasks": ["caption"],
            }
        )
    content["sources"].append(
        {"name": "pairs", "format": "nlvr2", "path": "pairs.jsonl", "images": "pairs", "prompt": "keep"}
    )
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def mixes(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("mixes")
    return {images: run(recipe, folder / images, f"images={images}") for images in ("embed", "shared")}


@pytest.fixture
def shared(mixes: dict[str, Path]) -> Path:
    return mixes["shared"]


def rows_of(mix: Path, pattern: str = "*/*/*.parquet") -> dict[str, dict[str, Any]]:
    rows = [row for path in sorted(mix.glob(pattern)) for row in pq.read_table(path).to_pylist()]
    return {row["id"]: row for row in rows}


def pictures_of(mix: Path) -> dict[str, dict[str, Any]]:
    rows = [row for path in sorted((mix / "images").iterdir()) for row in pq.read_table(path).to_pylist()]
    assert len({row["image_id"] for row in rows}) == len(rows)
    return {row["image_id"]: row["image"] for row in rows}


def content(mix: Path) -> dict[str, str]:
    return {
        str(path.relative_to(mix)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(mix.rglob("*"))
        if path.is_file() and path.relative_to(mix).parts[0] != "memory"
    }


def test_rows_name_what_an_embedding_mix_holds(mixes: dict[str, Path]) -> None:
    embedded, named, pictures = (
        rows_of(mixes["embed"]),
        rows_of(mixes["shared"]),
        pictures_of(mixes["shared"]),
    )
    assert embedded.keys() == named.keys()
    assert any(row["verdict"] == "reject" for row in named.values())
    for row_id, row in named.items():
        for column in ("image", "second_image"):
            theirs = embedded[row_id][column]
            if theirs is None or theirs["bytes"] is None:
                assert row[column] is None
                continue
            assert row[column]["bytes"] is None
            assert pictures[row[column]["path"]] == theirs
        same = {key: value for key, value in row.items() if key not in ("image", "second_image")}
        assert same.items() <= embedded[row_id].items()


def test_each_picture_stands_there_once(shared: Path) -> None:
    pictures = pictures_of(shared)
    times = Counter(hashlib.sha256(image["bytes"]).hexdigest() for image in pictures.values())
    assert set(times.values()) == {1}
    assert {f"c/p-{number}" for number in range(STATEMENTS + 1)} <= pictures.keys()
    shown = Counter(
        row["image"]["path"]
        for row in rows_of(shared).values()
        if row["image"] and row["task"] != "statement"
    )
    assert max(shown.values()) > 1
    plain = [row for row in rows_of(shared).values() if row["image"] and row["task"] != "statement"]
    assert all(row["image"]["path"] == row["image_id"] for row in plain if row["image_id"] != ONE_NAME)


def test_different_pictures_of_one_name_are_kept_apart(mixes: dict[str, Path]) -> None:
    pictures = pictures_of(mixes["shared"])
    names = sorted(name for name in pictures if name.split("~")[0] == ONE_NAME)
    digests = [hashlib.sha256(pictures[name]["bytes"]).hexdigest() for name in names]
    assert names == [ONE_NAME, f"{ONE_NAME}~{digests[1][:32]}"]
    assert digests == sorted(digests)
    told = {row["image"]["path"] for row in rows_of(mixes["shared"]).values() if row["image_id"] == ONE_NAME}
    assert told == set(names)


def test_a_loader_gives_the_same_pixels(
    mixes: dict[str, Path],
    tokenizer: Any,  # noqa: F811
) -> None:
    pixels: dict[str, dict[str, Any]] = {}
    for images, mix in mixes.items():
        settings = LoaderSettings(
            (MixWeight(str(mix)),),
            OrderSettings(batch_size=1),
            pictures=PictureSettings(height=16, width=16),
        )
        with Loader(settings, tokenizer, workers=1) as loader:
            pixels[images] = {batch.ids[0]: batch.pixel_values.numpy() for batch in loader}
            assert not loader.report.skipped
    assert pixels["shared"].keys() == pixels["embed"].keys()
    assert {len(one) for one in pixels["shared"].values()} == {1, 2}
    for row, one in pixels["shared"].items():
        assert np.array_equal(one, pixels["embed"][row])


def test_files_are_laid_out_for_single_pictures(shared: Path) -> None:
    metadata = pq.read_metadata(shared / FILE)
    assert pq.read_schema(shared / FILE).equals(IMAGE_SCHEMA, check_metadata=True)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    assert [group.num_rows for group in groups[:-1]] == [PICTURES_PER_GROUP] * (len(groups) - 1)
    columns = {groups[0].column(number).path_in_schema: groups[0].column(number) for number in range(3)}
    data = columns["image.bytes"]
    assert (data.compression, "RLE_DICTIONARY" in data.encodings) == ("UNCOMPRESSED", False)
    assert columns["image_id"].compression == "ZSTD"
    assert data.has_offset_index
    ids = pq.read_table(shared / FILE, columns=["image_id"]).column("image_id").to_pylist()
    assert ids == sorted(ids)


def copy_of(mix: Path, folder: Path) -> Path:
    shutil.copytree(mix, folder / "mix")
    return folder / "mix"


def test_another_mix_is_replaced_with_its_pictures(
    recipe: Path, mixes: dict[str, Path], tmp_path: Path
) -> None:
    mix = copy_of(mixes["shared"], tmp_path)
    command("run", str(recipe), "--output", str(mix), "--overwrite", "--set", "images=embed")
    assert not list((mix / "images").iterdir())
    assert content(mix) == content(mixes["embed"])


def test_an_unfinished_run_is_made_whole_with_the_same_bytes(
    recipe: Path, shared: Path, tmp_path: Path
) -> None:
    mix = copy_of(shared, tmp_path)
    (mix / "manifest.json").unlink()
    (mix / ".work").mkdir()
    (mix / ".work" / "lock").touch()
    (mix / FILE).write_bytes((mix / FILE).read_bytes()[:1000])
    (mix / "images" / "images-00001-of-00002.parquet").write_bytes(b"of a run that was killed")
    (mix / "images" / f".{FILE[7:]}.abc.partial").write_bytes(b"cut")
    run(recipe, mix, "images=shared")
    assert content(mix) == content(shared)


def test_a_refilter_needs_no_pictures_and_gives_what_a_run_gives(
    recipe: Path, shared: Path, tmp_path: Path
) -> None:
    before = rows_of(shared, "data/*/*.parquet")
    mix = copy_of(shared, tmp_path)
    for name in ("images", "pairs", "a", "b"):
        os.rename(recipe.parent / name, recipe.parent / f"{name}-away")
    try:
        command("refilter", str(mix), "--set", "filters.length_ratio.max=null")
    finally:
        for name in ("images", "pairs", "a", "b"):
            os.rename(recipe.parent / f"{name}-away", recipe.parent / name)
    assert not list(problems(str(mix)))
    accepted = rows_of(mix, "data/*/*.parquet")
    gained = accepted.keys() - before.keys()
    assert gained
    store = StoredPictures(Mix(str(mix)))
    assert all(store.get(accepted[row]["image"], accepted[row]["image"]["path"]) for row in gained)
    fresh = run(recipe, tmp_path / "fresh", "images=shared", "filters.length_ratio.max=null")
    # The one was run with the bound, so their digests of the recipe agree as well.
    assert content(mix) == content(fresh)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), f"{FILE}: missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), f"{FILE}: holds "),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), "its content has changed"),
        (lambda path: path.with_name("more.parquet").write_bytes(b"x"), "images/more.parquet: is not in"),
    ],
)
def test_verify_checks_the_pictures(
    shared: Path, tmp_path: Path, harm: Callable[[Path], object], said: str
) -> None:
    mix = copy_of(shared, tmp_path)
    assert not list(problems(str(mix)))
    harm(mix / FILE)
    assert any(said in problem for problem in problems(str(mix)))


def test_the_manifest_lists_files_of_pictures_apart_from_rows(shared: Path, mixes: dict[str, Path]) -> None:
    manifest = read_manifest(str(shared))
    assert [(file.path, file.rows) for file in manifest.images] == [(FILE, len(pictures_of(shared)))]
    assert manifest.images[0].sha256 == hashlib.sha256((shared / FILE).read_bytes()).hexdigest()
    assert read_manifest(str(mixes["embed"])).images == ()
    assert not (mixes["embed"] / "images").exists()


def test_datasets_loads_rows_and_finds_their_pictures_as_the_card_says(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    mix = datasets.load_dataset(str(shared), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(mix) == len(rows_of(shared, "data/*/train-*.parquet"))
    pictures = datasets.load_dataset(
        "parquet",
        data_files=str(shared / "images" / "*.parquet"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    at = {image_id: row for row, image_id in enumerate(pictures["image_id"])}
    for row in mix:  # all columns of all rows, also of those with two pictures
        for column in ("image", "second_image"):
            if row[column] is not None:
                assert row[column]["bytes"] is None
                assert pictures[at[row[column]["path"]]]["image"].size[0] > 0
    card = (shared / "README.md").read_text(encoding="utf-8")
    assert 'load_dataset("parquet", data_files="DIR/images/*.parquet", split="train")' in card
    assert "PIL image, if they are embedded" not in card


def test_shards_of_pictures_keep_to_their_size(tmp_path: Path, make_recipe: Callable[[Path], Path]) -> None:
    recipe = make_recipe(tmp_path / "tiny")
    for place, picture in enumerate(sorted((recipe.parent / "images").iterdir())):
        noise(picture, place, side=330)
    mix = run(recipe, tmp_path / "mix", "images=shared", "shard_megabytes=1", "validation=0")
    files = read_manifest(str(mix)).images
    assert len(files) > 4
    assert all(file.size <= 1.1 * 2**20 for file in files)
    assert [file.path for file in files] == [
        f"images/images-{number:05d}-of-{len(files):05d}.parquet" for number in range(len(files))
    ]
    assert not list(problems(str(mix)))
    # The index of the trainer goes over all files.
    store = StoredPictures(Mix(str(mix)))
    for row in rows_of(mix, "data/*/*.parquet").values():
        assert store.get(row["image"], row["image"]["path"])


def test_row_groups_are_bounded_in_number_and_bytes() -> None:
    small = [Shown(str(number), "x", 10) for number in range(40)]
    assert [len(group) for group in _groups(small)] == [16, 16, 8]
    large = [Shown(str(number), "x", MAX_BYTES) for number in range(3)]
    assert [len(group) for group in _groups(large)] == [ROW_GROUP_BYTES // MAX_BYTES] * 3
    assert list(_groups([])) == []


def test_copies_of_a_picture_under_one_id_are_one(tmp_path: Path) -> None:
    from pipelines.shared_images import SHOWN

    for name, seed in (("a/1.png", 1), ("b/1.png", 1), ("c/1.png", 2)):
        noise(tmp_path / name, seed)
    shown = [Shown("1", str(tmp_path / name), size) for name, size in (("b/1.png", 9), ("a/1.png", 5))]
    *sizes, block = TellApart().process((0, [SHOWN.pack(shown)]))
    # The smaller size is the better bound, and the first place is read.
    assert SHOWN.unpack(block) == [Shown("1", str(tmp_path / "a/1.png"), 5)]
    assert [one.tag for one in sizes] == ["picture_sizes"]
    more = [*shown, Shown("1", str(tmp_path / "c/1.png"), 7)]
    *outputs, block = TellApart().process((0, [SHOWN.pack(more)]))
    assert len(SHOWN.unpack(block)) == 2
    assert {one.tag for one in outputs} == {"picture_sizes", "renamed"}


def test_a_plan_counts_each_picture_once(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk = {}
    for images in ("embed", "shared", "reference"):
        command(
            "plan", str(recipe), "--json", "--rate", "1000", "--workers", "1", "--set", f"images={images}"
        )
        disk[images] = json.loads(capsys.readouterr().out)["disk_bytes"]["pictures"]
    assert 0 == disk["reference"] < disk["shared"] < disk["embed"]
