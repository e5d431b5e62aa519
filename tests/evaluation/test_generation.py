"""All questions are asked once, whatever stops the run; predictions of two runs are never mixed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.generation import (
    GenerationError,
    Process,
    Run,
    generate,
    parts_folder,
    predictions_path,
    process_from_environment,
)
from evaluation.items import Expected
from evaluation.pictures import AbsentPicture, PictureStore
from evaluation.predictions import read_predictions
from evaluation.questions import Question
from tests.conftest import Synced
from tests.evaluation.official import Rule, put_picture
from training.asking import BadPrompt, Generation, Request

RUN = Run("mine", "d", "a", "c", "generation", Generation(beams=1), {"device": "cpu"}, {"torch": "2"})


@pytest.fixture
def questions(tmp_path: Path) -> list[Question]:
    for number in range(3):
        put_picture(tmp_path / f"images/{number}.png", number)
    store = PictureStore([tmp_path / "images"])
    made = []
    for number in range(20):
        picture = store.find([f"{number % 3}.png"])
        assert picture is not None
        language = ("deu_Latn", "eng_Latn")[number % 2]
        expected = Expected(str(number), language, ("x",), str(number % 3), ("a", "bb"))
        made.append(
            Question(expected, Request(f"{number} " * (number + 1), "eng_Latn", language), (picture,))
        )
    return made


@pytest.fixture
def output(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "mine.json"


def echo(request: Request) -> str:
    return f"said {request.prompt.split()[0]}"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_every_question_is_answered_in_the_tasks_order(questions: list[Question], output: Path) -> None:
    model = Rule(echo)
    seen: list[tuple[int, int]] = []
    path = generate(model, questions, RUN, output, progress=lambda *at: seen.append(at), at_once=8)
    assert path == predictions_path(output)
    assert lines(path) == [
        {"id": one.expected.id, "language": one.expected.language, "prediction": f"said {one.expected.id}"}
        for one in questions
    ]
    assert seen == [(0, 20), (8, 20), (16, 20), (20, 20)]
    assert model.settings == [RUN.generation] * 3
    assert all(len(request.pictures) == 1 for request in model.asked)


def test_the_longest_come_first(questions: list[Question], output: Path) -> None:
    model = Rule(echo)
    generate(model, questions, RUN, output)
    sizes = [len(request.prompt) for request in model.asked]
    assert sizes == sorted(sizes, reverse=True)


def stopping(after: int) -> Callable[[Request], str]:
    left = [after]

    def rule(request: Request) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return echo(request)

    return rule


def test_a_run_that_was_stopped_goes_on_with_the_same_batches(
    questions: list[Question], output: Path, tmp_path: Path
) -> None:
    whole = generate(Rule(echo), questions, RUN, tmp_path / "whole.json", at_once=4)
    with pytest.raises(KeyboardInterrupt):
        generate(Rule(stopping(10)), questions, RUN, output, at_once=4)
    assert not predictions_path(output).exists()
    model = Rule(echo)
    path = generate(model, questions, RUN, output, at_once=4)
    assert len(model.asked) == 12
    assert model.batches == [4, 4, 4]
    assert path is not None
    assert whole is not None
    assert path.read_bytes() == whole.read_bytes()


def test_a_line_that_a_kill_cut_is_asked_again(questions: list[Question], output: Path) -> None:
    generate(Rule(echo), questions, RUN, output)
    part = parts_folder(output) / "part-00000-of-00001.jsonl"
    part.write_bytes(part.read_bytes()[:-9])
    model = Rule(echo)
    path = generate(model, questions, RUN, output)
    assert len(model.asked) == 1
    assert path is not None
    assert {line["prediction"] for line in lines(path)} == {f"said {one.expected.id}" for one in questions}


KILLED = """
import sys, time
from pathlib import Path
from tests.evaluation.test_generation import RUN, Rule, echo, generate, Question, Expected, Request
def slow(request):
    time.sleep(0.05)
    return echo(request)
questions = [
    Question(Expected(str(n), "deu_Latn", ("x",), str(n)), Request(f"{n} ", "eng_Latn", "deu_Latn"), ())
    for n in range(200)
]
generate(Rule(slow), questions, RUN, Path(sys.argv[1]), at_once=4)
"""


def test_a_kill_loses_only_the_last_batch(output: Path) -> None:
    part = parts_folder(output) / "part-00000-of-00001.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(output)], cwd=Path(__file__).parents[2]
    ) as child:
        end = time.monotonic() + 60
        while not (part.exists() and part.read_bytes().count(b"\n") >= 8) and time.monotonic() < end:
            time.sleep(0.02)
        os.kill(child.pid, signal.SIGKILL)
    kept = part.read_bytes().count(b"\n")
    assert 8 <= kept < 200
    questions = [
        Question(Expected(str(n), "deu_Latn", ("x",), str(n)), Request(f"{n} ", "eng_Latn", "deu_Latn"), ())
        for n in range(200)
    ]
    model = Rule(echo)
    path = generate(model, questions, RUN, output, at_once=4)
    assert len(model.asked) == 200 - kept
    assert path is not None
    assert [line["prediction"] for line in lines(path)] == [f"said {n}" for n in range(200)]


def test_processes_share_the_work_and_the_first_puts_it_together(
    questions: list[Question], output: Path
) -> None:
    models = [Rule(echo) for _ in range(3)]
    found: list[Path | None] = [None] * 3

    def run(rank: int) -> None:
        found[rank] = generate(models[rank], questions, RUN, output, process=Process(rank, 3), at_once=3)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == [predictions_path(output), None, None]
    assert [len(model.asked) for model in models] == [8, 6, 6]
    assert [line["id"] for line in lines(predictions_path(output))] == [one.expected.id for one in questions]


def test_another_number_of_processes_goes_on_too(questions: list[Question], output: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        generate(Rule(stopping(10)), questions, RUN, output, at_once=4)
    second = Rule(echo)
    assert generate(second, questions, RUN, output, process=Process(1, 2), at_once=4) is None
    first = Rule(echo)
    generate(first, questions, RUN, output, process=Process(0, 2), at_once=4)
    assert len(first.asked) + len(second.asked) == 12


def test_the_first_process_does_not_wait_for_ever(questions: list[Question], output: Path) -> None:
    with pytest.raises(GenerationError, match=r"8 of 20 predictions are missing and none came for 0 s"):
        generate(Rule(echo), questions, RUN, output, process=Process(0, 2), at_once=4, patience=0)


def test_one_rank_runs_once(questions: list[Question], output: Path) -> None:
    def twice(request: Request) -> str:
        generate(Rule(echo), questions, RUN, output)
        return ""

    with pytest.raises(GenerationError, match="another process writes to it; does this run twice"):
        generate(Rule(twice), questions, RUN, output)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint_digest": "e"}, r"another checkpoint digest \(c, now e\)"),
        ({"asked_digest": "e"}, r"another asked digest \(a, now e\)"),
        ({"computed_with": {"device": "cuda"}}, r"another computed with \(.*cpu.*, now .*cuda"),
        ({"versions": {"torch": "3"}}, "another versions"),
        ({"data_digest": "e"}, r"another data digest \(d, now e\)"),
        ({"generation": Generation(beams=2)}, "another generation"),
        ({"answer_by": "likelihood"}, "another answer by"),
    ],
)
def test_predictions_of_another_run_are_not_continued(
    questions: list[Question], output: Path, changes: dict[str, Any], message: str
) -> None:
    generate(Rule(echo), questions, RUN, output)
    before = (parts_folder(output) / "part-00000-of-00001.jsonl").read_bytes()
    with pytest.raises(GenerationError, match=message):
        generate(Rule(echo), questions, replace(RUN, **changes), output)
    assert (parts_folder(output) / "part-00000-of-00001.jsonl").read_bytes() == before


@pytest.mark.parametrize("content", [None, "{", '{"task": "mine"}'])
def test_parts_without_a_known_run_are_refused(
    questions: list[Question], output: Path, content: str | None
) -> None:
    generate(Rule(echo), questions, RUN, output)
    path = parts_folder(output) / "run.json"
    path.unlink()
    if content is not None:
        path.write_text(content)
    with pytest.raises(GenerationError, match=r"run\.json is (missing|damaged).*remove"):
        generate(Rule(echo), questions, RUN, output)


def test_a_damaged_part_is_refused(questions: list[Question], output: Path) -> None:
    generate(Rule(echo), questions, RUN, output)
    part = parts_folder(output) / "part-00000-of-00001.jsonl"
    part.write_bytes(b"{]\n" + part.read_bytes())
    with pytest.raises(GenerationError, match=r"part-00000-of-00001\.jsonl, line 1 is damaged"):
        generate(Rule(echo), questions, RUN, output)


def test_a_question_without_its_picture_is_not_asked(questions: list[Question], output: Path) -> None:
    broken = output.parent / "broken.png"
    broken.write_bytes(b"no picture")
    store = PictureStore([output.parent])
    unreadable = store.find(["broken.png"])
    assert unreadable is not None
    questions[0] = replace(questions[0], pictures=(AbsentPicture("away.png"),))
    questions[1] = replace(questions[1], pictures=(*questions[1].pictures, unreadable))
    model = Rule(echo)
    path = generate(model, questions, RUN, output)
    assert path is not None
    found = lines(path)
    assert found[0]["prediction"] is None
    assert found[0]["unanswered"] == "picture: missing: away.png"
    assert found[1]["prediction"] is None
    assert found[1]["unanswered"].startswith("picture: unknown format: 10 bytes")
    assert len(model.asked) == 19


def test_a_prompt_that_cannot_be_asked_is_told(questions: list[Question], output: Path) -> None:
    class Refusing(Rule):
        def answers(self, requests: Any, settings: Any) -> Any:
            return [BadPrompt("special token", "it holds </s>") for _ in requests]

    path = generate(Refusing(echo), questions, RUN, output)
    assert path is not None
    assert {line["unanswered"] for line in lines(path)} == {"prompt: special token: it holds </s>"}


@pytest.mark.parametrize(("answer_by", "best"), [("likelihood", "bb"), ("mean_likelihood", "a")])
def test_the_likeliest_choice_is_the_prediction(
    questions: list[Question], output: Path, answer_by: str, best: str
) -> None:
    from training.asking import Likelihood

    class Fixed(Rule):
        def choice_scores(self, requests: Any, choices: Any) -> Any:
            return [[Likelihood(-3.0, 3), Likelihood(-2.4, 2)] for _ in requests]

    path = generate(Fixed(echo), questions, replace(RUN, answer_by=answer_by), output)
    assert path is not None
    found = lines(path)
    assert {line["prediction"] for line in found} == {best}
    assert found[0]["likelihoods"] == ([-3.0, -2.4] if answer_by == "likelihood" else [-1.0, -1.2])


@pytest.mark.parametrize("wrong", [float("nan"), float("-inf")])
def test_a_likelihood_that_is_no_number_is_no_answer(
    questions: list[Question], output: Path, wrong: float
) -> None:
    from training.asking import Likelihood

    class Overflowing(Rule):
        def choice_scores(self, requests: Any, choices: Any) -> Any:
            return [[Likelihood(wrong, 3), Likelihood(-2.4, 2)] for _ in requests]

    path = generate(Overflowing(echo), questions, replace(RUN, answer_by="likelihood"), output)
    assert path is not None
    for line in lines(path):
        assert line["prediction"] is None
        assert line["unanswered"].startswith("model: no finite likelihood: ")
    found = read_predictions(path, [one.expected for one in questions])
    assert [(one.kind, one.count) for one in found.problems] == [("not computed", 20)]
    # To compute it once more would give the same.
    model = Rule(echo)
    generate(model, questions, replace(RUN, answer_by="likelihood"), output)
    assert model.asked == []


def test_pictures_that_failed_are_asked_again(questions: list[Question], output: Path) -> None:
    away = replace(questions[0], pictures=(AbsentPicture("away.png"),))
    generate(Rule(echo), [away, *questions[1:]], RUN, output)
    model = Rule(echo)
    path = generate(model, questions, RUN, output)
    assert path is not None
    assert [request.prompt for request in model.asked] == [questions[0].request.prompt]
    assert all(line["prediction"] for line in lines(path))


def test_the_first_process_waits_for_what_others_ask_again(questions: list[Question], output: Path) -> None:
    away = [replace(one, pictures=(AbsentPicture("away.png"),)) for one in questions]
    generate(Rule(echo), away, RUN, output, process=Process(1, 2), at_once=4)
    generate(Rule(echo), away, RUN, output, process=Process(0, 2), at_once=4)
    begun, go = threading.Event(), threading.Event()

    def slow(request: Request) -> str:
        begun.set()
        assert go.wait(60)
        return echo(request)

    found: list[Path | None] = [None]
    other = threading.Thread(
        target=generate,
        args=(Rule(slow), questions, RUN, output),
        kwargs={"process": Process(1, 2), "at_once": 4},
    )
    other.start()
    assert begun.wait(60)

    def first() -> None:
        found[0] = generate(Rule(echo), questions, RUN, output, process=Process(0, 2), at_once=4)

    waiting = threading.Thread(target=first)
    waiting.start()
    waiting.join(1.5)
    assert waiting.is_alive()
    go.set()
    for thread in (other, waiting):
        thread.join(60)
    assert found[0] is not None
    assert all(line["prediction"] for line in lines(found[0]))


def test_answers_are_on_disk_before_they_are_told_of(
    questions: list[Question], output: Path, synced: list[Synced]
) -> None:
    told = []

    def progress(done: int, total: int) -> None:
        written = {(path, path.stat().st_size) for path in parts_folder(output).glob("part-*")}
        told.append((done, sum(size for _, size in written)))
        assert not done or written <= set(synced)

    generate(Rule(echo), questions, RUN, output, progress=progress, at_once=8)
    assert [done for done, _ in told] == [0, 8, 16, 20]
    assert 0 == told[0][1] < told[1][1] < told[2][1] < told[3][1]


def test_progress_is_that_of_all_processes(questions: list[Question], output: Path) -> None:
    generate(Rule(echo), questions, RUN, output, process=Process(1, 2), at_once=4)
    seen: list[tuple[int, int]] = []
    generate(
        Rule(echo),
        questions,
        RUN,
        output,
        process=Process(0, 2),
        at_once=4,
        progress=lambda *at: seen.append(at),
    )
    assert seen == [(8, 20), (12, 20), (16, 20), (20, 20)]


def test_a_model_that_fails_stops_the_run(questions: list[Question], output: Path) -> None:
    def fail(request: Request) -> str:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        generate(Rule(fail), questions, RUN, output)


def test_a_place_that_cannot_be_written_to_is_said(questions: list[Question], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GenerationError, match=r"file.*: Not a directory"):
        generate(Rule(echo), questions, RUN, tmp_path / "file" / "mine.json")


def test_the_process_is_torchruns() -> None:
    assert process_from_environment({}) == Process(0, 1)
    assert process_from_environment({"RANK": "2", "WORLD_SIZE": "4"}) == Process(2, 4)
    with pytest.raises(GenerationError, match="RANK=4 WORLD_SIZE=4: rank 4 of 4 processes; ranks are 0 to 3"):
        process_from_environment({"RANK": "4", "WORLD_SIZE": "4"})
