"""`translate-mix plan`: counts, tokens, hours and disk before anything runs, as tables and as JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from pipelines import estimates
from pipelines.cli import main
from pipelines.estimates import FILE_BYTES, ROW_BYTES, Estimate, Rate, estimate
from pipelines.plan_progress import ReadingProgress
from pipelines.plan_table import _about, fruitless, not_held_out, plan_json, plan_line, render_plan
from pipelines.planning import Plan, plan_mix
from pipelines.recipe import Recipe, load_recipe
from translation.engine import Engine
from translation.filters import is_short
from translation.languages import default_languages
from translation.model import SENTENCEPIECE, model_directory
from translation.tokenizer import Tokenizer

ALL = [language.nllb for language in default_languages() if not language.english]


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


def changed(path: Path, **keys: Any) -> Recipe:
    """The recipe with other keys at its top."""
    values = yaml.safe_load(path.read_text(encoding="utf-8")) | keys
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_recipe(path)


def wordy(folder: Path, count: int = 40, **keys: Any) -> Recipe:
    """A recipe of one source of long captions, whose pictures hold 1,000 bytes each."""
    (folder / "images").mkdir()
    with (folder / "captions.jsonl").open("w", encoding="utf-8") as file:
        for number in range(count):
            (folder / "images" / f"{number}.jpg").write_bytes(b"x" * 1000)
            caption = f"A dog number {number} runs over the green grass of a wide meadow in the evening sun."
            file.write(json.dumps({"id": number, "image": f"{number}.jpg", "caption": caption}) + "\n")
    source = {
        "name": "web",
        "format": "jsonl",
        "path": "captions.jsonl",
        "images": "images",
        "tasks": ["caption"],
    }
    values = {
        "name": "r",
        "languages": {"english_share": 0.5, "codes": ["deu_Latn", "fra_Latn"]},
        "translation": {"beam_size": 1, "max_output_tokens": 8},
        "sources": [source],
        **keys,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return load_recipe(folder / "recipe.yaml")


def of(recipe: Recipe, rate: float | None = 1000.0) -> tuple[Plan, Estimate]:
    plan = plan_mix(recipe)
    return plan, estimate(recipe, plan, rate)


def shown(
    recipe: Recipe, plan: Plan, estimated: Estimate, price: float | None = None, width: int = 80
) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    render_plan(recipe, plan, estimated, price, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# Tokens and time


def test_tokens_are_the_models_own_where_the_sample_is_everything(tmp_path: Path) -> None:
    recipe = wordy(tmp_path)
    plan, estimated = of(recipe)
    tokenizer = Tokenizer(model_directory("small") / SENTENCEPIECE)
    texts = plan.sources[0].sampled_texts
    assert len(texts) == 40
    exact = sum(len(pieces) + 2 for pieces in tokenizer.encode(texts))
    # Half of the texts stay English.
    assert sum(estimated.tokens.values()) == pytest.approx(exact / 2, rel=0.03)
    assert set(estimated.tokens) == {"deu_Latn", "fra_Latn"}


@pytest.mark.parametrize(("round_trip", "times"), [("none", 1), ("short", 1), ("all", 2)])
def test_the_way_back_is_counted_as_the_recipe_asks_for_it(
    round_trip: str, times: int, tmp_path: Path
) -> None:
    _, estimated = of(wordy(tmp_path, round_trip=round_trip))
    assert estimated.work == pytest.approx(times * sum(estimated.tokens.values()), abs=2)
    assert estimated.hours == pytest.approx(estimated.work / 1000 / 3600)


def test_short_texts_go_back_where_only_they_do(tiny_recipe: Path) -> None:
    recipe = changed(tiny_recipe, round_trip="short")
    plan, estimated = of(recipe)
    assert all(is_short(text) for source in plan.sources for text in source.sampled_texts)
    assert estimated.work == pytest.approx(2 * sum(estimated.tokens.values()), abs=4)


def test_texts_of_languages_that_the_model_lacks_take_no_time(tmp_path: Path) -> None:
    recipe = wordy(tmp_path, languages={"english_share": 0.5, "codes": ["ceb_Latn", "deu_Latn"]})
    plan, estimated = of(recipe)
    assert estimated.unsupported == ("ceb_Latn",)
    assert estimated.work == estimated.tokens["deu_Latn"]
    assert "rows will be rejected: ceb_Latn" in shown(recipe, plan, estimated)


def test_a_text_of_two_sources_is_counted_once(tmp_path: Path) -> None:
    recipe = wordy(tmp_path, languages={"english_share": 0.0, "codes": ["deu_Latn"]})
    alone = of(recipe)[1]
    again = {**yaml.safe_load((tmp_path / "recipe.yaml").read_text())["sources"][0], "name": "again"}
    both = changed(tmp_path / "recipe.yaml", sources=[again, {**again, "name": "web"}])
    plan, estimated = of(both)
    assert estimated.work == pytest.approx(alone.work, abs=2)
    assert sum(plan.rows.values()) == 80


def test_the_rate_is_measured_with_the_recipes_model_on_its_own_texts(
    tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_recipe(tiny_recipe)
    asked: list[list[Any]] = []
    translate = Engine.translate

    def spied(self: Any, requests: Any, **keys: Any) -> Any:
        asked.append(list(requests))
        assert self.decoding == recipe.translation
        return translate(self, requests, **keys)

    monkeypatch.setattr(Engine, "translate", spied)
    plan, estimated = of(recipe, rate=None)
    rate = estimated.rate
    assert rate is not None
    assert rate.tokens_per_second > 0
    assert rate.device in ("cpu", "cuda")
    assert rate.threads >= 1
    assert 0 < rate.seconds < 2 * estimates.MEASURED_SECONDS
    assert len(rate.languages) > 1
    assert set(rate.languages) <= set(plan.texts)
    there = [request for requests in asked for request in requests if request.source == "eng_Latn"]
    assert {request.text for request in there} <= {text for one in plan.sources for text in one.sampled_texts}
    assert rate.texts == len(there) - 2


def test_the_rate_counts_the_way_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = wordy(tmp_path)
    plan = plan_mix(recipe)
    rates = []
    for round_trip in ("none", "all"):
        clock = iter(range(10_000))
        monkeypatch.setattr("pipelines.estimates.time.perf_counter", lambda clock=clock: float(next(clock)))
        rate = estimate(changed(tmp_path / "recipe.yaml", round_trip=round_trip), plan).rate
        assert rate is not None
        rates.append(rate.tokens_per_second)
    assert rates[1] == pytest.approx(2 * rates[0])


def test_timing_stops_before_the_batch_that_would_take_too_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = wordy(tmp_path, count=600)
    plan = plan_mix(recipe)
    clock = iter(range(10_000))
    # Each batch seems to take a second, so the next larger one two: 1 + 1 + ... until 10.
    monkeypatch.setattr("pipelines.estimates.time.perf_counter", lambda: float(next(clock)))
    rate = estimate(recipe, plan).rate
    assert rate is not None
    assert rate.texts < 2 * 600
    assert rate.seconds <= estimates.MEASURED_SECONDS


def test_nothing_to_translate_needs_no_rate(tmp_path: Path) -> None:
    recipe = wordy(tmp_path, languages={"english_share": 1.0, "codes": []})
    plan, estimated = of(recipe, rate=None)
    assert estimated.rate is None
    assert estimated.hours == 0
    assert "Nothing is to be translated" in shown(recipe, plan, estimated)
    assert plan_json(recipe, plan, estimated, 2.0)["cost"] == 0


# Disk


def test_each_row_holds_its_picture_unless_the_recipe_only_refers_to_it(tmp_path: Path) -> None:
    recipe = wordy(tmp_path)
    _, estimated = of(recipe)
    assert estimated.picture_bytes == 40 * 1000
    assert estimated.text_bytes == 40 * ROW_BYTES + 3 * 3 * FILE_BYTES
    _, estimated = of(changed(tmp_path / "recipe.yaml", images="reference"))
    assert estimated.picture_bytes == 0


def test_missing_pictures_among_the_sampled_ones_are_told(tmp_path: Path) -> None:
    recipe = wordy(tmp_path)
    for number in range(4):
        (tmp_path / "images" / f"{number}.jpg").unlink()
    plan, estimated = of(recipe)
    text = " ".join(shown(recipe, plan, estimated).split())
    assert "web: 4 of 40 sampled pictures cannot be used: missing: no file '0.jpg'" in text
    assert estimated.picture_bytes == 36 * 1000


def test_pictures_that_are_to_be_downloaded_are_not_touched(tmp_path: Path) -> None:
    recipe = wordy(tmp_path)
    line = {"id": "1", "url": "http://192.0.2.1/a.jpg", "caption": "a dog on a beach"}
    (tmp_path / "urls.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    source = {
        "name": "urls",
        "format": "jsonl",
        "path": "urls.jsonl",
        "tasks": ["caption"],
        "columns": {"url": "url"},
    }
    recipe = changed(tmp_path / "recipe.yaml", sources=[source], download={"cache": "cache"})
    (tmp_path / "cache").mkdir()
    # As an earlier run leaves it, which was allowed to download.
    (tmp_path / "cache" / "downloads.json").write_text("{}", encoding="utf-8")
    plan, estimated = of(recipe)
    assert estimated.unknown_pictures == ("urls",)
    assert estimated.sources[0].pictures_sampled == 0
    assert "urls: pictures are downloaded by the run" in shown(recipe, plan, estimated)


# What is shown


def test_96_languages_fit_80_columns(tmp_path: Path) -> None:
    recipe = wordy(tmp_path, count=200, languages={"english_share": 0.5})
    plan, estimated = of(recipe)
    huge = replace(
        plan,
        sources=tuple(
            replace(
                source,
                name="a-name-of-a-source-that-is-rather-long-for-a-table",
                rows={"eng_Latn": 2_272_954},
                texts={"deu_Latn": 1_136_477},
                pictures=2_272_954,
                left_out=3_000_000,
                rejects=12_345,
            )
            for source in plan.sources
        ),
    )
    for one in (plan, huge):
        lines = shown(recipe, one, estimated, 2.5).splitlines()
        assert max(map(len, lines)) <= 80
        table = [line for line in lines if line.strip().startswith(tuple(ALL)) and "%" in line]
        assert len(table) == 95
    assert "2,272,954" in shown(recipe, huge, estimated)
    assert "3,000,000" in shown(recipe, huge, estimated)


def test_hours_and_cost_come_from_the_rate(tmp_path: Path) -> None:
    recipe = wordy(tmp_path)
    plan, estimated = of(recipe)
    slow = replace(estimated, work=36_000_000, rate=Rate(100.0, "cpu", 2, 0, ("deu_Latn",), 10, 1.5))
    text = " ".join(shown(recipe, plan, slow, price=2.5).split())
    assert "≈ 100 hours (4.2 days), cost 250.00 at 2.5 an hour" in text
    assert "measured here: 100 tokens/s on cpu with 2 threads (10 texts into deu_Latn in 1.5 s)" in text
    assert "given: 1,000 tokens/s" in shown(recipe, plan, estimated)
    fast = replace(slow, rate=Rate(100.0, "cuda", 8, 4, ("deu_Latn",), 10, 1.5))
    assert "measured here: 100 tokens/s on 4 GPUs (10" in " ".join(shown(recipe, plan, fast).split())


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.00 k"),
        (9_994, "9.99 k"),
        (9_996, "10.0 k"),
        (99_960, "100 k"),
        (999_499, "999 k"),
        (999_500, "1.00 M"),
        (31_200_000, "31.2 M"),
        (5 * 10**12, "5.00 T"),
    ],
)
def test_large_numbers_have_three_digits(number: int, text: str) -> None:
    assert _about(number) == text


def test_the_plan_in_one_line(tmp_path: Path) -> None:
    plan = plan_mix(wordy(tmp_path))
    line = "plan   40 rows of 40 pictures, 2 languages and English, 20 texts to translate"
    assert plan_line(plan) == line


def test_json_holds_the_whole_matrix(tiny_recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(
        capsys, "plan", str(tiny_recipe), "--json", "--rate", "500", "--price", "3", "--quiet"
    )
    assert code == 0
    assert err == ""
    told = json.loads(out)
    plan = plan_mix(load_recipe(tiny_recipe))
    for source, planned in zip(told["sources"], plan.sources, strict=True):
        cells = source["languages"]
        assert {code: cell["rows"] for code, cell in cells.items()} == planned.rows
        assert {code: cell["texts"] for code, cell in cells.items() if cell["texts"]} == planned.texts
        assert source["rows"] == sum(cell["rows"] for cell in cells.values())
        assert source["tokens"] == sum(cell["tokens"] for cell in cells.values())
    assert {code: cell["rows"] for code, cell in told["languages"].items()} == plan.rows
    assert sum(cell["share"] for cell in told["languages"].values()) == pytest.approx(1)
    assert sum(source["share"] for source in told["sources"]) == pytest.approx(1)
    assert told["texts"] == sum(plan.texts.values())
    assert told["tokens_per_second"] == 500
    assert told["rate"]["measured"] is False
    assert told["hours"] == pytest.approx(told["tokens_with_way_back"] / 500 / 3600, abs=1e-4)
    assert told["pictures_held_out"] == plan.held_out


# The command


def test_plan_prints_tables_and_says_how_fast_the_model_was(
    tiny_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(
        capsys, "plan", str(tiny_recipe), "--set", "languages.english_share=0.5", "--workers", "1"
    )
    assert code == 0
    assert "captions" in out
    assert "questions" in out
    assert "50.00%" in out
    assert "measured here: " in out
    assert err == ""


def test_the_sample_is_planned_where_no_recipe_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "plan", "--rate", "1,000")
    assert code == 0
    assert "3,856" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.yaml"], "missing.yaml"),
        (["--set", "seeed=1"], "seeed"),
        (["--set", "languages.english_share=2"], "english_share"),
        (["--rate", "0"], "no number above 0"),
        (["--rate", "fast"], "no number above 0"),
        (["--price", "-1"], "no number above 0"),
        (["--price", "inf"], "no number above 0"),
        (["--workers", "0"], "number from 1 up"),
    ],
)
def test_mistakes_are_one_message_and_exit_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "plan", *arguments)
    assert code == 2
    assert message in err
    assert out == ""
    assert len(err.strip().splitlines()) == 1


def test_a_damaged_model_is_exit_1(
    tiny_recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.planning.plan_mix", None)  # It stops before sources are read.
    (tmp_path / "model").mkdir()
    code, _, err = call(capsys, "plan", str(tiny_recipe), "--set", f"model={tmp_path / 'model'}", "--quiet")
    assert code == 1
    assert "model.json: not a model description" in err


def test_a_source_that_cannot_be_read_is_exit_1(
    tiny_recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.sources import SourceError

    def failing(*_: object) -> None:
        raise SourceError("captions.json: cannot be read on: Input/output error")

    monkeypatch.setattr("pipelines.tallying.read_piece", failing)
    code, out, err = call(capsys, "plan", str(tiny_recipe), "--quiet")
    assert (code, out) == (1, "")
    assert "Input/output error" in err


def test_a_killed_process_is_exit_1_and_one_message(
    tiny_recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr("pipelines.planning.tallies", killed)
    code, _, err = call(capsys, "plan", str(tiny_recipe), "--quiet")
    assert code == 1
    assert "--workers 1" in err


# Progress


def progress(terminal: bool, quiet: bool, steps: Callable[[ReadingProgress], None]) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    with ReadingProgress(console, quiet) as shown_progress:
        steps(shown_progress)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def read_half(shown_progress: ReadingProgress) -> None:
    shown_progress.read(50, 100)
    shown_progress.step("timing the model")


def test_a_terminal_shows_a_bar_and_quiet_nothing() -> None:
    assert "timing the model" in progress(True, False, read_half)
    assert progress(True, True, read_half) == ""


def test_elsewhere_a_line_tells_of_progress_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    assert progress(False, False, read_half) == ""
    monkeypatch.setattr("pipelines.plan_progress.PLAIN_SECONDS", 0)
    assert progress(False, False, read_half).startswith("reading sources: 50% of 100 bytes, ")
    assert progress(False, True, read_half) == ""


def test_a_source_that_gives_no_row_is_told(tiny_recipe: Path) -> None:
    content = yaml.safe_load(tiny_recipe.read_text(encoding="utf-8"))
    (tiny_recipe.parent / "empty.jsonl").touch()
    wrong = content["sources"][1] | {"name": "typo", "columns": {"question": "qestion"}}
    unasked = content["sources"][1] | {"name": "unasked", "where": {"answer": "no such"}}
    content["sources"] += [
        wrong,
        content["sources"][1] | {"name": "empty", "path": "empty.jsonl"},
        unasked,
    ]
    tiny_recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    typo, empty, none_left = fruitless(plan_mix(load_recipe(tiny_recipe)))
    assert typo.startswith("typo: none of ")
    assert "can be used, the first since questions.jsonl byte 0: no column 'qestion'; there: " in typo
    assert empty == "empty: has no records"
    number = len((tiny_recipe.parent / "questions.jsonl").read_text(encoding="utf-8").splitlines())
    assert none_left == f"unasked: the recipe leaves out all that it has ({number})"


def test_a_plan_without_any_row_fails(
    tiny_recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tiny_recipe.parent)
    wrong = "{name: typo, format: jsonl, path: questions.jsonl, tasks: [vqa], columns: {question: qestion}}"
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(tiny_recipe), "--set", f"sources=[{wrong}]"])
    assert ended.value.code == 1
    assert "No row will be made of these sources." in capsys.readouterr().out


def test_too_few_pictures_for_validation_are_told(tiny_recipe: Path) -> None:
    recipe = load_recipe(tiny_recipe, ["validation=0.01"])
    (line,) = not_held_out(recipe, plan_mix(recipe))
    assert line == (
        "no rows for validation: 24 pictures are too few, or too many of them are shown together, for "
        "`validation: 0.01`"
    )
    (line,) = not_held_out(recipe, replace(plan_mix(recipe), pictures=1))
    assert line == "no rows for validation: 1 picture is too few for `validation: 0.01`"
    recipe = load_recipe(tiny_recipe, ["validation=0.1"])
    assert not list(not_held_out(recipe, plan_mix(recipe)))
