"""The card of the small model: what was measured, what was trained, and nothing left out."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scripts.small_model import card
from translation.languages import ENGLISH, default_languages, languages
from translation.model import model_directory, read_description

MODEL = model_directory("small")
DESCRIPTION = read_description(MODEL)
SCORE = {"texts": 20, "chrf": 61.234, "copy_chrf": 12.3, "exact": 0.25}


def measured() -> dict[str, Any]:
    """What `measure.py` writes, with figures for German and Yoruba alone."""
    figures = {"from_english": SCORE, "into_english": SCORE | {"chrf": 55.0}, "round_trip": None}
    mean = {"languages": 2, "round_trip": 0.815} | {
        f"{direction}_{field}": value
        for direction in ("from_english", "into_english")
        for field, value in (("chrf", 61.2), ("copy_chrf", 12.3), ("exact", 0.25), ("worse_than_copy", 0))
    }
    return {
        "model": "small",
        "digest": DESCRIPTION.digest,
        "signature": "nrefs:1|case:mixed",
        "beam_size": 4,
        "sample": 100,
        "left_out_as_trained": {"tux": 3},
        "data": [{"origin": "cldr-names", "licence": "Unicode-3.0", "train": 4000, "held_out": 3}],
        "pairs": {
            code: 20 if code == "yor_Latn" else 4000 for code in DESCRIPTION.languages if code != ENGLISH
        },
        "examples": [
            {"english": "dog", "code": "deu_Latn", "output": "Hund", "reference": "", "origin": ""},
            {"english": "a|b", "code": "deu_Latn", "output": "", "reference": "Spinne", "origin": "names"},
        ],
        "means": {"names": mean, "trained_names": mean},
        "figures": {
            "names": {"deu_Latn": figures, "yor_Latn": figures},
            "trained_names": {"deu_Latn": figures | {"round_trip": 0.9}},
        },
    }


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    parameters = card.read_weights(MODEL / "model.bin").parameters
    settings = {"parameters": parameters, "device": "cpu", "seed": 1, "data_sha256": "abc"}
    (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
    reports = [
        {"step": step, "loss": 5.0 - step / 100, "hours": step / 10}
        | ({"chrf_held_out": step / 10} if judged else {})
        for step, judged in ((50, False), (100, True), (150, False), (200, True))
    ]
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(report)}\n" for report in reports))
    return folder


@pytest.fixture
def arguments(tmp_path: Path, run: Path) -> list[str]:
    (tmp_path / "measured.json").write_text(json.dumps(measured()), encoding="utf-8")
    return (
        f"card --measured {tmp_path / 'measured.json'} --run {run} --model {MODEL} "
        f"--output {tmp_path / 'README.md'}"
    ).split()


def test_the_card_names_every_language_and_every_file(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", arguments)
    assert card.main() == 0
    text = (tmp_path / "README.md").read_text(encoding="utf-8")

    by_language = text.split("## By language")[1].split("\n## ")[0]
    without = text.split("## Languages without")[1].split("\n## ")[0]
    missing = {language.nllb for language in default_languages()} - set(DESCRIPTION.languages)
    assert missing
    for code in missing:
        assert f"- {languages()[code].name} (`{code}`)" in without
        assert code not in by_language
    for code in set(DESCRIPTION.languages) - {ENGLISH}:
        assert f"`{code}` |" in by_language
    assert (
        "| German | `deu_Latn` | 4,000 | 61.2 (12.3) | 55.0 (12.3) | 61.2 (12.3) | 55.0 (12.3) | 90.0% |"
        in text
    )
    assert "| Yoruba **(weak)** | `yor_Latn` | 20 | 61.2 (12.3) | 55.0 (12.3) | – | – | – |" in by_language
    assert "Yoruba (`yor_Latn`: 20)" in without

    for file in MODEL.iterdir():
        if file.suffix != ".md":
            assert f"| `{file.name}` | {file.stat().st_size:,} |" in text
    assert DESCRIPTION.digest in text
    assert "Round trip: 81.5% of the trained names" in text
    assert "| held-out CLDR names | 2 | 61.2 (12.3) | 61.2 (12.3) | 25.0% | 0 |" in text
    assert "| 100 | 10.0 | 4.000 | 10.0 |" in text
    assert "| 200 | 20.0 | 3.000 | 20.0 |" in text
    assert "| `seed` | `1` |" in text
    assert "| cldr-names | Unicode-3.0 | 4,000 | 3 |" in text
    assert "| dog | Hund |" in text
    assert "| a&#124;b | German | (nothing) | Spinne |" in text
    for licence in ("Apache-2.0", "GPL-2", "CC-BY-NC-4.0"):
        assert licence in text


def test_the_curve_is_short_and_ends_at_the_end() -> None:
    reports = [{"step": step} | ({"chrf_held_out": 1.0} if step % 4 == 0 else {}) for step in range(1, 402)]
    curve = card.curve(reports, 10)
    assert [report["step"] for report in curve] == list(range(40, 401, 40))
    assert card.curve(reports[:43], 10)[-1]["step"] == 40
    assert [report["step"] for report in card.curve(reports[:4], 10)] == [4]


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


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("measured.json", "{", r"measured\.json: not what measure\.py writes"),
        ("measured.json", '{"digest": "x"}', r"has no data, examples, figures, means, pairs; write it again"),
        ("measured.json", json.dumps(measured() | {"digest": "other"}), r"digest other, .* measure this one"),
        ("run/settings.json", "", "run: not the folder of a training"),
        ("run/settings.json", '{"parameters": 7}', r"trained 7 parameters, .*model\.bin has "),
        ("run/metrics.jsonl", '{"step": 1}\n', "no report has chrf_held_out; train on"),
    ],
)
def test_inputs_that_are_damaged_or_do_not_belong_together_are_named(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    content: str,
    message: str,
) -> None:
    (tmp_path / file).write_text(content, encoding="utf-8")
    monkeypatch.setattr("sys.argv", arguments)
    assert card.main() == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "README.md").exists()
