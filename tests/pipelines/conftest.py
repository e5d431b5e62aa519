"""A recipe of a few pictures of the sample, with the model that ships: real parts, done in seconds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import yaml

from tests.pipelines.remote_folder import FOLDER, RemoteFolder, forget

PICTURES = 24
LANGUAGES = ["deu_Latn", "fra_Latn", "jpn_Jpan", "rus_Cyrl", "hin_Deva"]


def sample_folder() -> Path:
    return Path(str(files("pipelines").joinpath("sample")))


def write_recipe(folder: Path) -> Path:
    """A recipe with captions in COCO's layout and questions as JSON lines."""
    images = folder / "images"
    images.mkdir(parents=True)
    captions = json.loads((sample_folder() / "captions.json").read_text(encoding="utf-8"))
    captions["images"] = captions["images"][:PICTURES]
    kept = {image["id"] for image in captions["images"]}
    captions["annotations"] = [a for a in captions["annotations"] if a["image_id"] in kept]
    (folder / "captions.json").write_text(json.dumps(captions), encoding="utf-8")
    names = {image["file_name"] for image in captions["images"]}
    for name in names:
        shutil.copyfile(sample_folder() / "images" / name, images / name)
    lines = (sample_folder() / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [line for line in lines if Path(json.loads(line)["image"]).name in names]
    (folder / "questions.jsonl").write_text("\n".join(questions) + "\n", encoding="utf-8")
    recipe: dict[str, object] = {
        "name": "tiny",
        "seed": 3,
        "model": "small",
        "translation": {"beam_size": 1},
        "languages": {"english_share": 0.3, "codes": LANGUAGES},
        "round_trip": "none",
        "validation": 0.1,
        "sources": [
            {"name": "captions", "format": "coco", "annotations": "captions.json", "images": "images"},
            {
                "name": "questions",
                "format": "jsonl",
                "path": "questions.jsonl",
                "images": "images",
                "tasks": ["vqa"],
                "prompt": "keep",
            },
        ],
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def make_recipe() -> Callable[[Path], Path]:
    """Writes the recipe and its data into a new folder."""
    return write_recipe


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    return write_recipe(tmp_path / "tiny")


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RemoteFolder:
    """An empty folder of a filesystem that is not this machine's."""
    folder = tmp_path / "far" / "bucket"
    folder.mkdir(parents=True)
    monkeypatch.setenv(FOLDER, str(folder.parent))
    forget()
    return RemoteFolder(folder)
