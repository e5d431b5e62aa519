"""The card of the small model: sacrebleu's figures on what the engine returns, and nothing left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sacrebleu.metrics.chrf import CHRF

from scripts.small_model import card
from scripts.small_model.card import Pair
from translation.engine import Engine
from translation.languages import ENGLISH, default_languages, languages
from translation.model import model_directory
from translation.translations import Request

MODEL = model_directory("small")

NAMES = {
    "red heart": ("rotes Herz", "moyo mwekundu", "红心"),
    "dog": ("Hund", "mbwa", "狗"),
    "bicycle": ("Fahrrad", "baisikeli", "自行车"),
    "black cat": ("schwarze Katze", "paka mweusi", "黑猫"),
    "spider": ("Spinne", "buibui", "蜘蛛"),
    "red apple": ("roter Apfel", "tufaha jekundu", "红苹果"),
}
CODES = ("deu_Latn", "swh_Latn", "zho_Hans")
HELD_OUT = ("spider", "red apple")
PAIRS = [
    Pair(english, code, name, english not in HELD_OUT)
    for english, names in NAMES.items()
    for code, name in zip(CODES, names, strict=True)
]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine(MODEL, card.DECODING) as engine:
        yield engine


def log_text(parameters: int) -> str:
    """A log as `train.py` writes it: killed after step 300, gone on from step 200."""
    report = '{{"step": {}, "epoch": {}, "loss": {}, "seconds": {}, "steps_per_second": 1.0{}}}'
    return "\n".join(
        [
            "trainer_interface.cc(411) LOG(INFO) Loaded all 67010 sentences",
            f"107,850 examples, {parameters:,} parameters, cpu",
            report.format(100, 0.5, 7.0, 900, ""),
            report.format(200, 1.0, 5.0, 1800, ', "chrf_trained": 20.5'),
            report.format(300, 1.5, 4.5, 2700, ""),
            f"107,850 examples, {parameters:,} parameters, cpu",
            report.format(300, 1.5, 4.0, 900, ""),
            report.format(400, 2.0, 3.0, 1800, ', "chrf_trained": 30.25'),
        ]
    )


def test_figures_are_those_of_sacrebleu_on_the_output_of_the_engine(engine: Engine) -> None:
    figures = card.measure(engine, PAIRS, sample=0)
    assert list(figures) == sorted(CODES)
    for code in CODES:
        for trained in (True, False):
            pairs = [pair for pair in PAIRS if pair.code == code and pair.trained == trained]
            english, names = [pair.english for pair in pairs], [pair.name for pair in pairs]
            out = [t.text for t in engine.translate([Request(text, ENGLISH, code) for text in english])]
            into = [t.text for t in engine.translate([Request(text, code, ENGLISH) for text in names])]
            split = "trained" if trained else "held_out"
            from_english = getattr(figures[code], f"{split}_from_english")
            into_english = getattr(figures[code], f"{split}_into_english")
            assert from_english.chrf == pytest.approx(CHRF().corpus_score(out, [names]).score)
            assert from_english.copy_chrf == pytest.approx(CHRF().corpus_score(english, [names]).score)
            assert into_english.chrf == pytest.approx(CHRF().corpus_score(into, [english]).score)
            assert into_english.copy_chrf == pytest.approx(CHRF().corpus_score(names, [english]).score)
            assert from_english.exact == sum(a == b for a, b in zip(out, names, strict=True)) / len(names)
            if trained:
                back = [t.text for t in engine.translate([Request(text, code, ENGLISH) for text in out])]
                same = [a.casefold() == b.casefold() for a, b in zip(back, english, strict=True)]
                assert figures[code].round_trip == sum(same) / len(same)
        assert (figures[code].trained_pairs, figures[code].held_out_pairs) == (4, 2)


def test_a_round_trip_ignores_what_the_filter_ignores_and_leaves_out_long_names(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"dog": "The DOG.", "bicycle": "bike", "globe showing Europe-Africa": "globe"}
    monkeypatch.setattr(
        card,
        "_translate",
        lambda _, requests: [
            answers.get(request.text, request.text) if request.source != ENGLISH else request.text
            for request in requests
        ],
    )
    pairs = [Pair(english, "deu_Latn", "x", True) for english in answers]
    assert card.measure(engine, pairs, sample=0)["deu_Latn"].round_trip == 0.5
    assert card.measure(engine, pairs[2:], sample=0)["deu_Latn"].round_trip is None


def test_a_copied_source_scores_as_the_baseline_says() -> None:
    score = card.score(["pizza", "tennis"], ["Brot", "Huhu"], ["pizza", "tennis"])
    assert (score.chrf, score.copy_chrf, score.exact) == (0.0, 100.0, 0.0)


def test_the_sample_is_the_same_in_any_order_and_keeps_every_held_out_pair() -> None:
    sampled = card.chosen(PAIRS, 2)
    assert set(sampled) == set(card.chosen(PAIRS[::-1], 2))
    assert len(sampled) == 3 * 2 + 3 * 2
    assert {pair for pair in PAIRS if not pair.trained} <= set(sampled)
    assert set(card.chosen(PAIRS, 0)) == set(PAIRS)


def test_means_are_over_languages_that_have_the_figure(engine: Engine) -> None:
    figures = card.measure(engine, PAIRS, sample=1)
    without = replace(figures["swh_Latn"], held_out_from_english=None)
    means = card.averages({**figures, "swh_Latn": without})
    scores = [figures[code].held_out_from_english for code in ("deu_Latn", "zho_Hans")]
    assert means["held_out_from_english_chrf"] == pytest.approx(
        sum(score.chrf for score in scores if score) / 2
    )
    trained = sum(figures[code].trained_from_english.chrf for code in CODES) / 3
    assert means["trained_from_english_chrf"] == pytest.approx(trained)


def test_a_restarted_training_counts_steps_once_and_time_always(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text(log_text(1_234_567), encoding="utf-8")
    training = card.read_log(log)
    assert [(report["step"], report["loss"]) for report in training.reports] == [
        (100, 7.0),
        (200, 5.0),
        (300, 4.0),
        (400, 3.0),
    ]
    assert training.hours == pytest.approx((2700 + 1800) / 3600)
    assert (training.parameters, training.device) == (1_234_567, "cpu")


def test_the_curve_is_short_ends_at_the_end_and_prefers_reports_with_chrf() -> None:
    reports = [
        {"step": step, "chrf_trained": 1.0} if step % 40 == 0 else {"step": step} for step in range(1, 98)
    ]
    curve = card.curve(reports, 10)
    assert 10 <= len(curve) <= 11
    assert curve[-1]["step"] == 97
    assert {40, 80} <= {report["step"] for report in curve}
    assert card.curve(reports[:3], 10) == reports[:3]


def test_the_weights_are_counted_as_the_architecture_has_them() -> None:
    weights = card.read_weights(MODEL / "model.bin")
    vocabulary = json.loads((MODEL / "shared_vocabulary.json").read_text(encoding="utf-8"))
    assert weights.vocabulary == len(vocabulary)
    width, inner = weights.width, weights.feed_forward
    attention, norm = 4 * (width * width + width), 2 * width
    feed_forward = 2 * width * inner + inner + width
    encoder = weights.encoder_layers * (attention + feed_forward + 2 * norm) + norm
    decoder = weights.decoder_layers * (2 * attention + feed_forward + 3 * norm) + norm
    assert weights.parameters == weights.vocabulary * width + encoder + decoder


def test_a_cell_cannot_break_its_table() -> None:
    assert card._table(["a"], [["x|y"]]).splitlines()[-1] == "| x&#124;y |"


@pytest.fixture(scope="module")
def all_pairs(engine: Engine) -> list[Pair]:
    """Every language of the model; those without names above take the model's own output as their name."""
    codes = sorted(engine.languages - {ENGLISH} - set(CODES))
    outputs = engine.translate([Request("red heart", ENGLISH, code) for code in codes])
    names = [
        Pair("red heart", code, output.text or "?", True) for code, output in zip(codes, outputs, strict=True)
    ]
    return PAIRS + names


@pytest.fixture
def arguments(tmp_path: Path, all_pairs: list[Pair]) -> list[str]:
    pairs, log = tmp_path / "pairs.jsonl", tmp_path / "train.log"
    log.write_text(log_text(card.read_weights(MODEL / "model.bin").parameters), encoding="utf-8")
    write_pairs(pairs, all_pairs)
    output = tmp_path / "README.md"
    return f"card.py --pairs {pairs} --model {MODEL} --log {log} --output {output} --sample 0".split()


def write_pairs(path: Path, pairs: list[Pair]) -> None:
    rows = [
        {
            "english": pair.english,
            "nllb_code": pair.code,
            "name": pair.name,
            "split": "train" if pair.trained else "held_out",
        }
        for pair in pairs
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_the_card_names_every_language_and_every_file(
    engine: Engine,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", [*arguments, "--train-options", "--decay-steps 99"])
    assert card.main() == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    text = (tmp_path / "README.md").read_text(encoding="utf-8")

    by_language = text.split("## By language")[1].split("\n## ")[0]
    without = text.split("## Languages without")[1].split("\n## ")[0]
    missing = {language.nllb for language in default_languages()} - engine.languages
    assert set(figures["missing"]) == missing
    assert set(figures["languages"]) == engine.languages - {ENGLISH}
    for code in missing:
        assert f"- {languages()[code].name} (`{code}`)" in without
        assert code not in by_language
    for code in engine.languages - {ENGLISH}:
        # Every language has a handful of names here, so all are weak.
        assert f"\n| {languages()[code].name} **(weak)** | `{code}` | " in by_language
    german = figures["languages"]["deu_Latn"]
    assert (
        f"| `deu_Latn` | 4 | {german['trained_from_english']['chrf']:.1f} "
        f"({german['trained_from_english']['copy_chrf']:.1f}) |" in by_language
    )
    # Its name is the model's own output, and it has no held-out one.
    assert figures["languages"]["fra_Latn"]["trained_from_english"]["exact"] == 1.0
    assert figures["languages"]["fra_Latn"]["held_out_from_english"] is None

    for file in MODEL.iterdir():
        if file.suffix != ".md":
            assert f"| `{file.name}` | {file.stat().st_size:,} |" in text
    assert figures["bytes"] == sum(f.stat().st_size for f in MODEL.iterdir() if f.suffix != ".md")
    assert engine.description.digest in text
    assert figures["chrf_signature"].startswith("nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:")
    assert "--steps 400 --decay-steps 99 >> build/small/train.log" in text
    assert "| 400 | 2.0 | 3.000 | 30.2 |" in text
    for licence in ("Apache-2.0", "Unicode-3.0", "CC-BY-NC-4.0"):
        assert licence in text


def test_examples_are_marked_by_comparing_with_the_reference(engine: Engine) -> None:
    output = engine.translate([Request("dog", ENGLISH, "deu_Latn")])[0].text
    pairs = [Pair("dog", "deu_Latn", output, True), Pair("spider", "deu_Latn", output + "x", False)]
    examples = card.translate_examples(engine, pairs)
    assert card._marked(examples["dog", "deu_Latn"]) == f"✓ {output}"
    wrong, reference = examples["spider", "deu_Latn"]
    assert card._marked((wrong, reference)) == f"✗ {wrong} ({output}x)"
    assert card._marked(None) == "– (not in the data)"


@pytest.mark.parametrize(
    ("option", "content", "message"),
    [
        ("--pairs", '{"english": "dog"}\n', r"pairs.jsonl:1: not a pair \(KeyError\('split'\)\)"),
        ("--pairs", "", "no pair of the split 'train'"),
        ("--pairs", None, "they differ in .*fra_Latn"),
        ("--log", "5 examples, 7 parameters, cpu\n", "no report of a step"),
        ("--log", '5 examples, 7 parameters, cpu\n{"step": 1\n', "train.log:2: not a report"),
        ("--log", '{"step": 1, "epoch": 0, "loss": 1, "seconds": 1}\n', "train.log:1: a report before"),
        ("--log", log_text(7), "is of a model of 7 parameters, .*model.bin has "),
    ],
)
def test_inputs_that_are_damaged_or_do_not_belong_together_are_named(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    option: str,
    content: str | None,
    message: str,
) -> None:
    path = Path(arguments[arguments.index(option) + 1])
    if content is None:
        write_pairs(path, PAIRS)
    else:
        path.write_text(content, encoding="utf-8")
    monkeypatch.setattr("sys.argv", arguments)
    assert card.main() == 2
    captured = capsys.readouterr()
    assert re.search(message, captured.err)
    assert captured.out == ""
    assert not Path(arguments[arguments.index("--output") + 1]).exists()
