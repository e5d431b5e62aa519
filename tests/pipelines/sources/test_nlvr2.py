"""NLVR2's and MaRVL's lines become statements about two pictures, found where the downloads have them."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.examples import Reject, Text
from pipelines.images import image_bytes
from pipelines.recipe import SettingsError
from pipelines.records import Record, Stated
from pipelines.sources import lines, pieces, read_records
from tests.pipelines.sources.conftest import MakeRecipe, examples, read_all

SHARED = Path(__file__).parents[3].parent / "shared/data"

NLVR2 = {"format": "nlvr2", "path": "train.json", "images": "images"}

RECORD = {
    "validation": {"61": "False"},
    "sentence": "The right image shows a curving walkway.",
    "left_url": "https://e.org/18iy0hwo5wdrpjpg.jpg",
    "writer": "61",
    "label": "False",
    "right_url": "https://e.org/beer-bottles-949793_960_720.jpg",
    "synset": "beer bottle",
    "query": "some beer bottles38",
    "identifier": "train-850-3-0",
    "directory": 56,
}

MARVL = {
    "concept": "42-Soğan",
    "language": "tr",
    "caption": "Soldaki resimde bir soğan var.",
    "left_img": "42-9.jpg",
    "right_img": "42-5.jpg",
    "annotator_info": {"annotator_id": "tr_03"},
    "chapter": "Food",
    "id": "tr-0",
    "label": True,
}


def read(folder: Path, make_recipe: MakeRecipe, *records: Any, **source: Any) -> list[Record | Reject]:
    (folder / "train.json").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    recipe = make_recipe(**{**NLVR2, **source})
    return [one for piece in pieces(recipe) for one in read_records(recipe, piece)]


def picture(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(name.encode())


def test_a_statement_about_two_pictures(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    true = {**RECORD, "identifier": "test1-0-1-12", "label": "True"}
    first, second = read(tmp_path, make_recipe, RECORD, true)
    assert isinstance(first, Stated)
    assert isinstance(second, Stated)
    assert (first.source_id, first.holds, first.statement) == ("train-850-3-0", False, RECORD["sentence"])
    assert [one.image_id for one in first.pictures] == ["train-850-3-img0", "train-850-3-img1"]
    assert first.pictures[0].locator == f"{tmp_path}/images/./train-850-3-img0.png"
    assert (second.source_id, second.holds) == ("test1-0-1-12", True)
    assert [one.image_id for one in second.pictures] == ["test1-0-1-img0", "test1-0-1-img1"]
    (example, _) = examples(read_all(make_recipe(**NLVR2)))
    assert (example.prompt, example.target) == (Text(str(RECORD["sentence"])), Text("no"))
    assert example.second_image == first.pictures[1].locator


@pytest.mark.parametrize("where", ["", "56/", "images/train/56/", "train/56/", "train/", "images/train/"])
def test_pictures_are_found_where_a_download_has_them(
    tmp_path: Path, make_recipe: MakeRecipe, where: str
) -> None:
    names = ["train-850-3-img0.png", "train-850-3-img1.png"]
    for name in names:
        picture(tmp_path, f"images/{where}{name}")
    (found,) = read(tmp_path, make_recipe, RECORD)
    assert isinstance(found, Stated)
    assert [image_bytes(one.locator).decode() for one in found.pictures] == [
        f"images/{where}{name}" for name in names
    ]
    # The id is the same wherever the pictures are.
    assert [one.image_id for one in found.pictures] == ["train-850-3-img0", "train-850-3-img1"]


def test_one_folder_counts_for_a_file_and_what_is_not_there_is_told_later(
    tmp_path: Path, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "PIECE_BYTES", 100)
    many = [{**RECORD, "identifier": f"train-{n}-3-0", "directory": n % 7} for n in range(20)]
    for record in many[1:10]:
        for side in (0, 1):
            name = f"{str(record['identifier'])[:-2]}-img{side}.png"
            picture(tmp_path, f"images/train/{record['directory']}/{name}")
    found = [one for one in read(tmp_path, make_recipe, *many) if isinstance(one, Stated)]
    assert len(found) == 20
    for record, one in zip(many, found, strict=True):
        assert one.pictures[0].locator.startswith(f"{tmp_path}/images/./train/{record['directory']}/train-")


@pytest.mark.parametrize(("where", "rest"), [("train/56/", "train/"), ("56/", "")])
def test_a_record_without_the_name_of_its_folder(
    tmp_path: Path, make_recipe: MakeRecipe, where: str, rest: str
) -> None:
    for side in (0, 1):
        picture(tmp_path, f"images/{where}train-850-3-img{side}.png")
    bare = {key: value for key, value in RECORD.items() if key != "directory"}
    found, last = read(tmp_path, make_recipe, RECORD, {**bare, "identifier": "train-9-0-0"})
    assert isinstance(found, Stated)
    assert isinstance(last, Stated)
    assert last.pictures[0].locator == f"{tmp_path}/images/./{rest}train-9-0-img0.png"


def test_pictures_in_a_zip(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for side in (0, 1):
            archive.writestr(f"images/train/56/train-850-3-img{side}.png", b"png")
    found, bad = read(
        tmp_path, make_recipe, RECORD, {**RECORD, "identifier": "train-851-3-0"}, images="all.zip"
    )
    assert isinstance(found, Stated)
    assert [image_bytes(one.locator) for one in found.pictures] == [b"png", b"png"]
    assert isinstance(bad, Reject)
    assert bad.source_id == "train-851-3-0"
    assert "image: missing: no member" in bad.reason


@pytest.mark.parametrize("where", ["", "42-Soğan/", "images/42-Soğan/", "tr/images/42-Soğan/"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("named", ["", "42-Soğan/"])
def test_marvl(tmp_path: Path, make_recipe: MakeRecipe, where: str, form: Any, named: str) -> None:
    for name in ("42-9.jpg", "42-5.jpg"):
        picture(tmp_path, unicodedata.normalize(form, f"images/{where}{name}"))
    # What is written may have another form than what is on the disk.
    left, right = (unicodedata.normalize("NFD", f"{named}42-{number}.jpg") for number in (9, 5))
    record = {**MARVL, "left_img": left, "right_img": right}
    (found,) = read(tmp_path, make_recipe, record)
    assert isinstance(found, Stated)
    assert (found.source_id, found.holds, found.statement) == ("tr-0", True, MARVL["caption"])
    # Concepts of two languages share their numbers, but not their names.
    assert [one.image_id for one in found.pictures] == ["42-Soğan/42-9", "42-Soğan/42-5"]
    assert [image_bytes(one.locator)[-8:] for one in found.pictures] == [b"42-9.jpg", b"42-5.jpg"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"identifier": None}, "column 'identifier' is null"),
        ({"identifier": "850-3-0"}, "`identifier` is '850-3-0', must be of the form `dev-850-0-0`"),
        ({"identifier": "../x-1-2-3"}, "must be of the form"),
        ({"identifier": 850}, "must be of the form"),
        ({"sentence": ""}, "`sentence` is empty"),
        ({"sentence": ["a"]}, "`sentence` is a list, must be text"),
        ({"label": "false"}, "`label` is 'false', must be True or False"),
        ({"label": 1}, "`label` is '1', must be True or False"),
        ({"label": None}, "column 'label' is null"),
        ({"directory": "../.."}, "image: "),
    ],
)
def test_a_malformed_record_is_rejected_alone(
    tmp_path: Path, make_recipe: MakeRecipe, change: dict[str, Any], words: str
) -> None:
    for side in (0, 1):
        picture(tmp_path, f"images/train/56/train-850-3-img{side}.png")
    first, bad, last = read(tmp_path, make_recipe, RECORD, {**RECORD, **change}, RECORD)
    assert isinstance(first, Stated)
    assert isinstance(last, Stated)
    assert isinstance(bad, Reject)
    assert bad.reason.startswith(f"source: train.json byte {len(json.dumps(RECORD)) + 1}: ")
    assert words in bad.reason


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"left_img": None}, "column 'left_img' is null"),
        ({"right_img": 5}, "`right_img` is '5', must be the name of a picture"),
        ({"left_img": "../42-9.jpg"}, "image: '../42-9.jpg' leads out"),
        ({"left_img": ""}, "image: empty path"),
        ({"caption": 1}, "`caption` is a number"),
        ({"id": None}, "column 'id' is null"),
        ({"label": "True "}, "`label` is 'True ', must be"),
    ],
)
def test_a_malformed_record_of_marvl(
    tmp_path: Path, make_recipe: MakeRecipe, change: dict[str, Any], words: str
) -> None:
    first, bad, last = read(tmp_path, make_recipe, MARVL, {**MARVL, **change}, MARVL)
    assert isinstance(first, Stated)
    assert isinstance(last, Stated)
    assert isinstance(bad, Reject)
    assert words in bad.reason


_OF_NLVR2 = st.fixed_dictionaries(
    {
        "identifier": st.sampled_from(
            ["train-850-3-0", "dev-1-0-12", "dev-1-0", "a-1-2-3\n", "é-1-2-3", "", 5, None]
        ),
        "sentence": st.sampled_from(["A dog.", " a ", "", "\0", None, 3, "x" * 20_001]),
        "label": st.sampled_from(["True", "False", "true", True, 0, None, []]),
    },
    optional={
        "directory": st.sampled_from([56, "56", "../..", "", None, 1.5, []]),
        "left_img": st.sampled_from([None, "42-9.jpg"]),
        "right_img": st.none(),
    },
)
_OF_BOTH = st.lists(_OF_NLVR2 | st.sampled_from([RECORD, MARVL, None]), max_size=6)


@given(_OF_BOTH)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_many_state_is_what_each_states(
    tmp_path: Path, make_recipe: MakeRecipe, records: list[object]
) -> None:
    """`read_all` reads them together and one by one."""
    picture(tmp_path, "images/train/56/train-850-3-img0.png")
    lines_ = "\n".join(map(json.dumps, [RECORD, *records, RECORD]))
    (tmp_path / "train.json").write_text(lines_)
    assert len(examples(read_all(make_recipe(**NLVR2)))) >= 2


def test_a_json_list_is_a_wrong_recipe(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "train.json").write_text(json.dumps([RECORD]))
    with pytest.raises(SettingsError, match="is one JSON list"):
        pieces(make_recipe(**NLVR2))


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data excerpts are not there")
@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("source/nlvr2/dev.json", 200),
        ("eval/marvl/zero_shot/annotations/marvl-*.jsonl", 5_670),
        ("eval/marvl/few_shot/annotations/marvl-zh_train10.jsonl", 40),
    ],
)
def test_real_excerpts(make_recipe: MakeRecipe, path: str, number: int) -> None:
    recipe = make_recipe(**{**NLVR2, "path": str(SHARED / path)})
    found = [one for piece in pieces(recipe) for one in read_records(recipe, piece)]
    assert len(found) == len([one for one in found if isinstance(one, Stated)]) == number
    assert len({one.source_id for one in found if isinstance(one, Stated)}) == number
