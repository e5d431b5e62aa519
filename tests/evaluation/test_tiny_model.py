"""A model of random weights goes all the way from checkpoint to result, and scores at chance."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.results import Result
from evaluation.run import evaluate_task
from evaluation.tasks import TaskFile, read_task
from tests.evaluation.official import put_json, put_lines, put_picture
from tests.training.conftest import row_of, write_mix
from tests.training.tiny import write_blip2
from training.answering import Answering


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Answering:
    return Answering.load(str(write_blip2(tmp_path_factory.mktemp("blip2"), "mt5")), device="cpu")


def run(model: Answering, task: TaskFile, output: Path) -> Result:
    done = evaluate_task(lambda: model, task, output, checkpoint="random", resamples=50)
    assert done is not None
    return done.result


def value(result: Result, metric: str) -> float | None:
    scores = result.metric(metric)
    assert scores is not None
    return scores.overall.value


def test_captions_have_no_fidelity_and_no_consensus(model: Answering, tmp_path: Path) -> None:
    captions = ("घास पर दौड़ता हुआ एक कुत्ता", "बर्फ में खेलते हुए दो बच्चे", "समुद्र के किनारे एक लाल घर")
    lines = [{"image/key": f"{n}", "hi": {"caption": [captions[n % 3]]}} for n in range(6)]
    put_lines(tmp_path / "xm3600/captions.jsonl", lines)
    for number in range(6):
        put_picture(tmp_path / f"xm3600/images/{number}.jpg", number)
    overrides = [f"root={tmp_path}", "languages=[hi]", "expected={each: 6}", "generation.max_new_tokens=8"]
    result = run(model, read_task("xm3600", overrides), tmp_path / "a.json")
    assert value(result, "cider") == 0
    assert value(result, "fidelity") == 0
    assert result.provenance.checkpoint_digest is not None
    assert len(result.provenance.checkpoint_digest) == 64


def test_choices_by_likelihood_are_at_chance(model: Answering, tmp_path: Path) -> None:
    synsets = [f"n{number:08d}" for number in range(80)]
    put_json(
        tmp_path / "imagenet/imagenet_class_index.json", {str(n): [s, "x"] for n, s in enumerate(synsets)}
    )
    labels = {"DE": [list(range(80)), [f"Ding {number:03d}" for number in range(80)]]}
    put_json(tmp_path / "babel_imagenet/babel_imagenet-298.json", labels)
    for number, synset in enumerate(synsets):
        put_picture(tmp_path / f"imagenet/val/{synset}/a.JPEG", number)
    task = read_task("babel-imagenet-choice", [f"root={tmp_path}", "languages=[DE]"])
    result = run(model, task, tmp_path / "a.json")
    assert result.items == 80
    # Three standard deviations of a fair draw of one in four.
    assert value(result, "accuracy") == pytest.approx(25, abs=15)


def test_two_pictures_and_held_out_rows_are_asked(model: Answering, tmp_path: Path) -> None:
    rows = [row_of(n, "deu_Latn", second_image=row_of(n + 9, "deu_Latn")["image"]) for n in range(3)]
    write_mix(tmp_path / "tiny", {"deu_Latn": rows}, split="validation")
    overrides = [f"root={tmp_path}", "files=tiny", "generation.max_new_tokens=4", "generation.beams=1"]
    result = run(model, read_task("mix", overrides), tmp_path / "a.json")
    assert result.items == 3
    assert {one.kind for one in result.problems} <= {"empty"}
