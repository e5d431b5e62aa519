"""From a task to result files: what went wrong is shown in them, and chance looks like chance."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from evaluation.corpus import PiecesError
from evaluation.generation import parts_folder, predictions_path
from evaluation.render import comparison_markdown
from evaluation.results import Result, ResultError, read_result
from evaluation.run import Evaluated, compare_files, evaluate_task, rescore
from evaluation.tasks import TaskFile, read_task
from evaluation.vqa_accuracy import TooFewAnswersError
from tests.evaluation.official import Rule, chance, put_json, put_lines, put_picture, xgqa
from training.asking import Request
from translation.settings_file import SettingsError

SIDE_FILES = (".json", ".md", ".html", ".svg", ".items.parquet", ".predictions.jsonl")


def right(request: Request) -> str:
    """The answers of `xgqa` there."""
    number = int(request.prompt.split("?")[0].rsplit(" ", 1)[1])
    return "no" if number % 2 else "Yes."


def task(root: Path, *overrides: str) -> TaskFile:
    return read_task("xgqa", [f"root={root}", "languages=[en, de]", *overrides])


def run(model: Rule, asked: TaskFile, output: Path, **options: Any) -> Result:
    done = evaluate_task(lambda: model, asked, output, checkpoint="ours", resamples=50, **options)
    assert isinstance(done, Evaluated)
    assert all(path.exists() for path in done.files)
    return done.result


def problems(result: Result) -> dict[str, int]:
    return {one.kind: one.count for one in result.problems}


def value(result: Result, metric: str, language: str | None = None) -> float:
    scores = result.metric(metric)
    assert scores is not None
    found = (scores.languages[language] if language else scores.overall).value
    assert found is not None
    return found


def test_a_result_says_what_it_is_of(tmp_path: Path) -> None:
    xgqa(tmp_path)
    asked = task(tmp_path)
    result = run(Rule(right), asked, tmp_path / "out" / "a.json")
    known = result.provenance
    assert (known.task, known.task_digest, known.checkpoint) == ("xgqa", asked.digest, "ours")
    assert known.checkpoint_digest == "rule"
    assert known.data_digest is not None
    assert known.generation == {
        "answer_by": "generation", "beams": 5, "max_new_tokens": 10, "length_penalty": -1.0,
        "repetition_penalty": 1.0, "no_repeat_ngram": 0,
        "device": "cpu", "precision": "float32", "quantization": "none",
    }  # fmt: skip
    assert known.generated_with is not None
    assert "transformers" in known.generated_with
    assert value(result, "exact_match") == 100
    assert problems(result) == {"other count": 2}
    assert read_result(tmp_path / "out" / "a.json") == result
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        "a" + one for one in SIDE_FILES
    )
    text = (tmp_path / "out" / "a.md").read_text()
    assert "2 languages with another number of items than was published (deu\\_Latn: 6 of 9,666" in text
    assert '"length_penalty": -1.0' in text
    assert "generated with: torch" in text
    ElementTree.parse(tmp_path / "out" / "a.svg")
    assert "--bar" in (tmp_path / "out" / "a.svg").read_text()


def test_a_finished_run_is_scored_but_not_asked_again(tmp_path: Path) -> None:
    xgqa(tmp_path)
    first = run(Rule(right), task(tmp_path), tmp_path / "a.json")
    again = Rule(right)
    assert run(again, task(tmp_path), tmp_path / "a.json") == first
    assert again.asked == []


@pytest.mark.parametrize(
    ("override", "other"),
    [
        ("generation.beams=1", "beams"),
        ("template=vqa-short", "questions"),
        ("pictures.names=['{imageId}.png', '{imageId}.jpg']", "questions"),
        ("name=mine", "task"),
    ],
)
def test_another_run_does_not_replace_a_result(tmp_path: Path, override: str, other: str) -> None:
    xgqa(tmp_path)
    first = run(Rule(right), task(tmp_path), tmp_path / "a.json")
    model = Rule(right)
    with pytest.raises(ResultError, match=rf"holds a result of another run \(other {other}\)"):
        run(model, task(tmp_path, override), tmp_path / "a.json")
    assert model.asked == []
    assert read_result(tmp_path / "a.json") == first
    second = run(Rule(right), task(tmp_path, override), tmp_path / "a.json", overwrite=True)
    assert second.provenance.task_digest != first.provenance.task_digest


def test_another_model_does_not_replace_a_result(tmp_path: Path) -> None:
    xgqa(tmp_path)
    run(Rule(right), task(tmp_path), tmp_path / "a.json")
    with pytest.raises(ResultError, match=r"another run \(other checkpoint\)"):
        run(Rule(right, digest="other"), task(tmp_path), tmp_path / "a.json")
    with pytest.raises(ResultError, match=r"another run \(other device\)"):
        run(Rule(right, device="cuda"), task(tmp_path), tmp_path / "a.json")


@pytest.mark.parametrize(
    "override", ["metrics=[exact_match]", "expected={each: 6}", "left_out={fr: not translated}"]
)
def test_what_is_only_scored_in_another_way_is_not_asked_again(tmp_path: Path, override: str) -> None:
    xgqa(tmp_path)
    run(Rule(right), task(tmp_path), tmp_path / "a.json")
    model = Rule(right)
    again = run(model, task(tmp_path, override), tmp_path / "a.json")
    assert model.asked == []
    assert value(again, "exact_match") == 100


def test_the_same_data_in_another_place_is_the_same_run(tmp_path: Path) -> None:
    xgqa(tmp_path / "one")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two/gqa/images").rename(tmp_path / "two/pictures")
    first = run(Rule(right), task(tmp_path / "one"), tmp_path / "a.json")
    model = Rule(right)
    moved = task(tmp_path / "two", "pictures.path=[pictures]")
    assert run(model, moved, tmp_path / "a.json") == first
    assert model.asked == []


def test_pictures_that_failed_are_asked_when_they_are_there(tmp_path: Path) -> None:
    xgqa(tmp_path)
    kept = tmp_path / "kept.jpg"
    (tmp_path / "gqa/images/n0.jpg").rename(kept)
    (tmp_path / "gqa/images/n1.jpg").write_bytes(b"broken")
    first = run(Rule(right), task(tmp_path), tmp_path / "a.json")
    assert problems(first)["not asked"] == 4
    (tmp_path / "gqa/images/n1.jpg").unlink()
    model = Rule(right)
    assert run(model, task(tmp_path), tmp_path / "a.json") == first
    assert model.asked == []
    kept.rename(tmp_path / "gqa/images/n0.jpg")
    second = run(model, task(tmp_path), tmp_path / "a.json")
    assert len(model.asked) == 2
    assert problems(second)["not asked"] == 2
    assert value(second, "exact_match") == pytest.approx(100 * 10 / 12)
    assert not parts_folder(tmp_path / "a.json").exists()
    put_picture(tmp_path / "gqa/images/n1.jpg", 1)
    assert value(run(Rule(right), task(tmp_path), tmp_path / "a.json"), "exact_match") == 100


def test_a_continuation_that_was_stopped_goes_on(tmp_path: Path) -> None:
    xgqa(tmp_path)
    (tmp_path / "gqa/images/n0.jpg").unlink()
    run(Rule(right), task(tmp_path), tmp_path / "a.json")
    put_picture(tmp_path / "gqa/images/n0.jpg", 0)

    def stop(request: Request) -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(Rule(stop), task(tmp_path), tmp_path / "a.json")
    model = Rule(right)
    assert value(run(model, task(tmp_path), tmp_path / "a.json"), "exact_match") == 100
    assert len(model.asked) == 2


def test_an_overwriting_run_that_was_stopped_goes_on(tmp_path: Path) -> None:
    # Eighty questions are two portions.
    xgqa(tmp_path, count=40)
    run(Rule(right, digest="old"), task(tmp_path), tmp_path / "a.json")
    left = [64]

    def stop(request: Request) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return right(request)

    with pytest.raises(KeyboardInterrupt):
        run(Rule(stop), task(tmp_path), tmp_path / "a.json", overwrite=True)
    model = Rule(right)
    run(model, task(tmp_path), tmp_path / "a.json", overwrite=True)
    assert len(model.asked) == 16


def test_failed_pictures_are_not_asked_with_other_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    xgqa(tmp_path)
    (tmp_path / "gqa/images/n0.jpg").unlink()
    run(Rule(right), task(tmp_path), tmp_path / "a.json")
    put_picture(tmp_path / "gqa/images/n0.jpg", 0)
    monkeypatch.setattr("evaluation.generation.library_versions", lambda: {"torch": "99"})
    with pytest.raises(ResultError, match="2 pictures failed, and the libraries are others now"):
        run(Rule(right), task(tmp_path), tmp_path / "a.json")


def test_cut_prompts_are_counted_and_scored(tmp_path: Path) -> None:
    xgqa(tmp_path)
    result = run(Rule(right, longest=10), task(tmp_path), tmp_path / "a.json")
    assert problems(result)["cut prompt"] == 12
    assert value(result, "exact_match") == 100
    assert (
        "12 items whose prompt was cut to the length that the model takes" in (tmp_path / "a.md").read_text()
    )


def test_all_that_can_be_wrong_is_looked_at_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> Rule:
        raise AssertionError("loaded")

    xgqa(tmp_path)
    with pytest.raises(ResultError, match=r"ends with \.json"):
        evaluate_task(load, task(tmp_path), tmp_path / "a.txt")
    with pytest.raises(SettingsError, match="there is no"):
        evaluate_task(load, task(tmp_path, "files=away-{code}.json"), tmp_path / "a.json")
    with pytest.raises(TooFewAnswersError):
        evaluate_task(load, task(tmp_path, "metrics=[vqa_accuracy]"), tmp_path / "a.json")

    def none(**options: object) -> object:
        raise OSError("no network")

    monkeypatch.setattr("evaluation.corpus.BLEU", none)
    with pytest.raises(PiecesError):
        evaluate_task(load, task(tmp_path, "metrics=[spbleu]"), tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()


def test_stored_predictions_replace_no_result_of_others(tmp_path: Path) -> None:
    xgqa(tmp_path)
    run(Rule(right), task(tmp_path), tmp_path / "a.json")
    first = run(Rule(lambda _: "yes", digest="other"), task(tmp_path), tmp_path / "b.json")
    path = predictions_path(tmp_path / "a.json")
    with pytest.raises(ResultError, match=r"b\.json: holds a result of other predictions"):
        rescore(path, task(tmp_path), tmp_path / "b.json")
    assert read_result(tmp_path / "b.json") == first
    rescore(path, task(tmp_path, "metrics=[exact_match]"), tmp_path / "a.json", resamples=50)
    again = rescore(path, task(tmp_path), tmp_path / "b.json", overwrite=True, resamples=50).result
    assert value(again, "exact_match") == 100


def test_predictions_that_were_changed_are_not_taken_for_the_models(tmp_path: Path) -> None:
    xgqa(tmp_path)
    run(Rule(right), task(tmp_path), tmp_path / "a.json")
    with predictions_path(tmp_path / "a.json").open("a") as file:
        file.write("\n")
    with pytest.raises(ResultError, match=r"a\.predictions\.jsonl: not what a\.json was made from"):
        run(Rule(right), task(tmp_path), tmp_path / "a.json")


def test_missing_pictures_and_empty_answers_are_shown_and_wrong(tmp_path: Path) -> None:
    xgqa(tmp_path)
    (tmp_path / "gqa/images/n0.jpg").unlink()
    (tmp_path / "gqa/images/n1.jpg").write_bytes(b"broken")
    result = run(
        Rule(lambda one: "" if "4?" in one.prompt else right(one)), task(tmp_path), tmp_path / "a.json"
    )
    assert problems(result) == {"other count": 2, "not asked": 4, "empty": 2}
    assert result.items == 12
    assert value(result, "exact_match") == pytest.approx(50)
    examples = next(one.examples for one in result.problems if one.kind == "not asked")
    assert "eng_Latn 1000: picture: missing: n0.jpg" in examples
    assert "4 items that the model could not be asked; scored as empty" in (tmp_path / "a.md").read_text()


def test_stored_predictions_are_scored_again_without_the_model(tmp_path: Path) -> None:
    xgqa(tmp_path)
    first = run(Rule(right), task(tmp_path), tmp_path / "a.json")
    path = predictions_path(tmp_path / "a.json")
    shutil.rmtree(tmp_path / "gqa")
    other = task(tmp_path, "metrics=[exact_match, vqa_accuracy_published]", "metrics=[exact_match]")
    again = rescore(path, other, tmp_path / "b.json", resamples=50).result
    assert value(again, "exact_match") == value(first, "exact_match")
    assert again.metric("exact_match") == first.metric("exact_match")
    assert again.provenance.checkpoint == "ours"
    assert again.provenance.generation == first.provenance.generation
    lines = path.read_text().splitlines()
    (tmp_path / "c.jsonl").write_text("\n".join([*lines[:-1], "{", lines[0], '{"id": "?"}']))
    third = rescore(tmp_path / "c.jsonl", task(tmp_path), tmp_path / "c.json", resamples=50).result
    assert problems(third) == {"other count": 2, "broken": 1, "doubled": 1, "incomplete": 1, "missing": 1}
    assert third.provenance.checkpoint_digest is None
    assert value(third, "exact_match") == pytest.approx(100 * 11 / 12)


def test_two_results_are_compared(tmp_path: Path) -> None:
    xgqa(tmp_path, count=30)
    run(Rule(right), task(tmp_path), tmp_path / "a.json")
    run(Rule(lambda _: "yes", digest="other"), task(tmp_path), tmp_path / "b.json")
    found = compare_files(tmp_path / "a.json", tmp_path / "b.json", tmp_path / "both.json")
    text = (tmp_path / "both.md").read_text()
    assert "| all items | 60 | exact_match | 100.0 | 50.0 | -50.0" in text
    assert text == comparison_markdown(found)
    assert "</html>" in (tmp_path / "both.html").read_text()


def test_a_comparison_keeps_its_name_and_replaces_no_result(tmp_path: Path) -> None:
    xgqa(tmp_path)
    for name, rule in (("a", right), ("b", lambda _: "yes")):
        run(Rule(rule, digest=name), task(tmp_path), tmp_path / f"{name}.json")
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    for name in ("lr-1.0", "new/lr-1.5"):
        compare_files(a, b, tmp_path / name)
        assert (tmp_path / f"{name}.md").exists()
    with pytest.raises(ResultError, match="belongs to one of the results"):
        compare_files(a, b, a)


def test_only_the_first_process_writes(tmp_path: Path) -> None:
    from evaluation.generation import Process

    xgqa(tmp_path)
    output = tmp_path / "a.json"
    assert evaluate_task(lambda: Rule(right), task(tmp_path), output, process=Process(1, 2)) is None
    assert not output.exists()
    assert parts_folder(output).exists()
    result = run(Rule(right), task(tmp_path), output, process=Process(0, 2))
    assert value(result, "exact_match") == 100
    assert not parts_folder(output).exists()
    assert evaluate_task(lambda: Rule(right), task(tmp_path), output, process=Process(1, 2)) is None
    with pytest.raises(ResultError, match="several processes cannot overwrite"):
        run(Rule(right), task(tmp_path), output, process=Process(0, 2), overwrite=True)


def test_an_output_of_another_kind_is_refused_before_work(tmp_path: Path) -> None:
    xgqa(tmp_path)
    model = Rule(right)
    with pytest.raises(ResultError, match=r"ends with \.json"):
        evaluate_task(lambda: model, task(tmp_path), tmp_path / "a.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultError, match="cannot be made"):
        evaluate_task(lambda: model, task(tmp_path), tmp_path / "file" / "a.json")
    assert model.asked == []


# --- Chance ---------------------------------------------------------------------------------------


def entailment(root: Path, count: int = 900) -> TaskFile:
    labels = ("entailment", "neutral", "contradiction")
    lines = [
        {"pairID": f"{n}", "sentence2": f"Claim {n}.", "gold_label": labels[n % 3], "Flikr30kID": f"{n % 9}"}
        for n in range(count)
    ]
    put_lines(root / "xvnli/annotations/en/test.jsonl", lines)
    for number in range(9):
        put_picture(root / f"flickr30k/flickr30k-images/{number}.jpg", number)
    return read_task("xvnli", [f"root={root}", "languages=[en]", "expected={}"])


def test_answers_by_chance_score_a_third_of_three_choices(tmp_path: Path) -> None:
    result = run(Rule(chance(("yes", "no", "maybe"))), entailment(tmp_path), tmp_path / "a.json")
    assert value(result, "accuracy") == pytest.approx(100 / 3, abs=5)
    assert value(result, "accuracy.named") == 100


def test_choices_by_chance_score_a_quarter_of_four(tmp_path: Path) -> None:
    synsets = [f"n{number:08d}" for number in range(200)]
    put_json(
        tmp_path / "imagenet/imagenet_class_index.json", {str(n): [s, "x"] for n, s in enumerate(synsets)}
    )
    names = [f"Ding {number}" for number in range(200)]
    put_json(tmp_path / "babel_imagenet/babel_imagenet-298.json", {"DE": [list(range(200)), names]})
    for number, synset in enumerate(synsets):
        for picture in range(3):
            put_picture(tmp_path / f"imagenet/val/{synset}/{picture}.JPEG", 3 * number + picture)
    asked = read_task("babel-imagenet-choice", [f"root={tmp_path}", "languages=[DE]", "per_class=3"])
    result = run(Rule(chance(names)), asked, tmp_path / "a.json")
    assert result.items == 600
    # The rule's answer is rarely among the choices; then the shortest is the likeliest.
    assert value(result, "accuracy") == pytest.approx(25, abs=8)


def test_words_of_another_language_have_no_fidelity(tmp_path: Path) -> None:
    lines = [
        {"image/key": f"{n}", "de": {"caption": [f"Ein Hund läuft über die Wiese {n}"]}} for n in range(40)
    ]
    put_lines(tmp_path / "xm3600/captions.jsonl", lines)
    for number in range(40):
        put_picture(tmp_path / f"xm3600/images/{number}.jpg", number)
    asked = read_task("xm3600", [f"root={tmp_path}", "languages=[de]", "expected={}"])
    model = Rule(lambda _: "собака бежит по зелёному лугу")
    result = run(model, asked, tmp_path / "a.json")
    assert value(result, "fidelity") == 0
    assert value(result, "cider") == 0
