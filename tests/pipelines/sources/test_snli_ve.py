"""SNLI-VE and XVNLI: pairs become hypotheses about a picture, to be answered with yes, maybe or no."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipelines.examples import Reject, Text
from pipelines.records import Entailed, Record
from pipelines.sources import pieces, read_records
from tests.pipelines.sources.conftest import MakeRecipe, examples, read_all

SHARED = Path(__file__).parents[3].parent / "shared/data"

SNLI_VE = {"format": "snli_ve", "path": "x.jsonl", "images": "images"}

RECORD = {
    "Flickr30K_ID": "2248275918",
    "annotator_labels": ["contradiction"],
    "captionID": "2248275918.jpg#2",
    "gold_label": "contradiction",
    "pairID": "2248275918.jpg#2r1c",
    "sentence1": "A toddler poses in front of a computer.",
    "sentence2": "A toddler sleeps outside.",
}

# As XVNLI's records are; those of the published test file have no `annotator_labels`.
XVNLI = {
    "gold_label": "neutral",
    "sentence1": "A man holds a hebrew newspaper.",
    "sentence2": "He is reading the newspaper.",
    "captionID": "759822302.jpg#2",
    "pairID": "759822302.jpg#2r1e",
    "Flikr30kID": "759822302",
}


def read(folder: Path, make_recipe: MakeRecipe, *records: Any) -> list[Record | Reject]:
    (folder / "x.jsonl").write_text("".join(f"{json.dumps(record)}\n" for record in records))
    recipe = make_recipe(**SNLI_VE)
    return [one for piece in pieces(recipe) for one in read_records(recipe, piece)]


def test_the_layouts_differ_in_how_they_spell_flickr(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    third = {key: value for key, value in XVNLI.items() if key != "Flikr30kID"}
    first, second, last = read(
        tmp_path, make_recipe, RECORD, XVNLI, {**third, "Flickr30kID": 12, "gold_label": "entailment"}
    )
    assert isinstance(first, Entailed)
    assert isinstance(second, Entailed)
    assert isinstance(last, Entailed)
    assert (first.source_id, first.hypothesis, first.label) == (
        "2248275918.jpg#2r1c",
        "A toddler sleeps outside.",
        "no",
    )
    assert first.picture.locator == f"{tmp_path}/images/./2248275918.jpg"
    assert first.picture.image_id == "2248275918"
    assert (second.picture.image_id, second.label) == ("759822302", "maybe")
    assert (last.picture.image_id, last.label) == ("12", "yes")


def test_the_hypothesis_is_the_prompt(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "x.jsonl").write_text(json.dumps(XVNLI))
    (found,) = examples(read_all(make_recipe(**SNLI_VE)))
    assert (found.task, found.prompt, found.target) == (
        "entailment",
        Text("He is reading the newspaper."),
        Text("maybe"),
    )


@pytest.mark.parametrize("gold", ["-", None])
def test_the_first_annotator_counts_where_there_is_no_gold(
    tmp_path: Path, make_recipe: MakeRecipe, gold: str | None
) -> None:
    votes = {"gold_label": gold, "annotator_labels": ["entailment", "neutral"]}
    (found,) = read(tmp_path, make_recipe, {**XVNLI, **votes})
    assert isinstance(found, Entailed)
    assert found.label == "yes"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gold_label": "-"}, "`gold_label` is '-', and there are no `annotator_labels`"),
        ({"gold_label": "-", "annotator_labels": []}, "there are no `annotator_labels`"),
        ({"gold_label": None}, "`gold_label` is 'null', and there are no `annotator_labels`"),
        ({"gold_label": "-", "annotator_labels": "neutral"}, "`annotator_labels` is text, must be a list"),
        ({"gold_label": "-", "annotator_labels": [""]}, "`annotator_labels` is '', must be entailment"),
        ({"gold_label": "maybe"}, "`gold_label` is 'maybe', must be entailment, neutral, contradiction"),
        ({"gold_label": 1}, "`gold_label` is '1', must be"),
        ({"gold_label": ["neutral"]}, "`gold_label` is"),
        ({"sentence2": " "}, "`sentence2` is empty"),
        ({"sentence2": None}, "column 'sentence2' is null"),
        ({"pairID": None}, "column 'pairID' is null"),
        ({"pairID": 1.5}, "column 'pairID' is a number, an id must be text or a whole number"),
        ({"Flikr30kID": None}, "column 'Flikr30kID' is null"),
        ({"Flikr30kID": "../1"}, "image: '../1.jpg' leads out"),
        ({"Flikr30kID": {}}, "column 'Flikr30kID' is an object"),
    ],
)
def test_a_malformed_record_is_rejected_alone(
    tmp_path: Path, make_recipe: MakeRecipe, change: dict[str, Any], words: str
) -> None:
    first, bad, last = read(tmp_path, make_recipe, XVNLI, {**XVNLI, **change}, XVNLI)
    assert isinstance(first, Entailed)
    assert isinstance(last, Entailed)
    assert isinstance(bad, Reject)
    assert bad.reason.startswith(f"source: x.jsonl byte {len(json.dumps(XVNLI)) + 1}: ")
    assert words in bad.reason
    assert bad.source_id == (XVNLI["pairID"] if "pairID" not in change else bad.source_id)


def test_a_record_without_a_picture(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (bad,) = read(tmp_path, make_recipe, {key: value for key, value in XVNLI.items() if key != "Flikr30kID"})
    assert isinstance(bad, Reject)
    assert "no picture: none of the columns Flickr30K_ID, Flickr30kID, Flikr30kID" in bad.reason


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data excerpts are not there")
def test_real_excerpts(make_recipe: MakeRecipe) -> None:
    counts = {}
    for path in ("source/snli_ve/sample_pairs.jsonl", "eval/xvnli/annotations/en/test.jsonl"):
        recipe = make_recipe(**{**SNLI_VE, "path": str(SHARED / path)})
        found = [one for piece in pieces(recipe) for one in read_records(recipe, piece)]
        counts[path] = Counter(
            one.label if isinstance(one, Entailed) else "reject"
            for one in found
            if isinstance(one, Entailed | Reject)
        )
    assert counts == {
        "source/snli_ve/sample_pairs.jsonl": {"yes": 6, "maybe": 6, "no": 4},
        "eval/xvnli/annotations/en/test.jsonl": {"yes": 394, "maybe": 381, "no": 375, "reject": 14},
    }
