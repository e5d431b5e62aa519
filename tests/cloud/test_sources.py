"""Recipes, data and pictures in a bucket, read by the real clients: the same as from the disk."""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pipelines.filesystem import beam_filesystems, open_binary
from pipelines.images import image_bytes
from pipelines.inputs import files_below, first_file, is_file, matching, read_bytes
from pipelines.recipe import Recipe, load_recipe
from pipelines.sources import pieces, read_records
from pipelines.sources.pictures import PictureStore
from tests.cloud.conftest import GoogleCloud
from tests.cloud.servers import BUCKET
from tests.pipelines.mix_files import files_of

InEnvironment = Callable[[Mapping[str, str]], None]


@pytest.fixture
def archives(recipe: Path, tmp_path: Path) -> Path:
    """The recipe's pictures in archives."""
    folder = tmp_path / "archives"
    folder.mkdir()
    with (
        tarfile.open(folder / "images.tar", "w") as tar,
        zipfile.ZipFile(folder / "images.zip", "w") as zipped,
    ):
        for path in sorted((recipe.parent / "images").iterdir()):
            tar.add(path, path.name)
            zipped.write(path, path.name)
    return folder


def upload(folder: Path, url: str) -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with beam_filesystems().create(f"{url}/{path.relative_to(folder).as_posix()}") as file:
                file.write(path.read_bytes())


def records_of(recipe: Recipe) -> list[str]:
    return [repr(one) for piece in pieces(recipe) for one in read_records(recipe, piece)]


def check_reading(recipe: Path, archives: Path, url: str) -> None:
    """Uploads it all, and reads it from there."""
    upload(recipe.parent, f"{url}/data")
    upload(archives, f"{url}/archives")
    far = [
        one.replace(f"{url}/data", str(recipe.parent))
        for one in records_of(load_recipe(f"{url}/data/recipe.yaml"))
    ]
    assert far == records_of(load_recipe(recipe)) != []
    pictures = sorted((recipe.parent / "images").iterdir())
    for images in ("data/images", "archives/images.tar", "archives/images.zip"):
        store = PictureStore(f"{url}/{images}")
        for path in pictures[:5]:
            assert image_bytes(store.picture(path.name).locator) == path.read_bytes()
            assert store.holds(path.name)
    assert files_below(f"{url}/data/images") == [path.name for path in pictures]
    assert matching(f"{url}/**/*.yaml") == [f"{url}/data/recipe.yaml"]
    assert first_file(f"{url}/nothing") is None
    assert not is_file(f"{url}/nothing")
    with pytest.raises(FileNotFoundError, match=f"{url}/nothing"):
        read_bytes(f"{url}/nothing")


def test_google_storage(
    google: GoogleCloud, in_environment: InEnvironment, recipe: Path, archives: Path
) -> None:
    in_environment(google.program.environment)
    check_reading(recipe, archives, f"{google.root}/site")


def test_amazon_storage(
    amazon: Mapping[str, str], in_environment: InEnvironment, recipe: Path, archives: Path
) -> None:
    in_environment(amazon)
    check_reading(recipe, archives, f"s3://{BUCKET}/site")


def test_recipe_data_and_mix_in_a_bucket(
    google: GoogleCloud, in_environment: InEnvironment, recipe: Path, local_mix: Path
) -> None:
    in_environment(google.program.environment)
    upload(recipe.parent, f"{google.root}/data")
    google.program.call("run", f"{google.root}/data/recipe.yaml", "--output", f"{google.root}/far", "--quiet")
    digests = {}
    for name in files_below(f"{google.root}/far"):
        if name.startswith(("data/", "rejected/")):
            with open_binary(f"{google.root}/far/{name}") as file:
                digests[name] = hashlib.sha256(file.read()).hexdigest()
    here = {name: one for name, one in files_of(local_mix).items() if name.startswith(("data/", "rejected/"))}
    assert digests == here != {}
