"""Numbers of translations: good ones beat copies, the filters' verdicts count, leads have intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from evaluation.reference_sets import TABLE, ReferenceSet, ReferenceText
from evaluation.results import ItemScores, Result
from evaluation.systems import Output, copied
from evaluation.translations import best_by_language, measure
from translation.filters import TextPair
from translation.identification import SHIPPED, Identifier, load_identifier
from translation.model import SENTENCEPIECE, SMALL, model_directory
from translation.translations import Translation

GERMAN = {
    "A dog is running across the green meadow.": "Ein Hund läuft über die grüne Wiese.",
    "Two children are sitting on a wooden bench.": "Zwei Kinder sitzen auf einer Holzbank.",
    "The old man reads a newspaper in the park.": "Der alte Mann liest im Park eine Zeitung.",
    "A red car is parked in front of the house.": "Ein rotes Auto steht vor dem Haus.",
    "Many people are waiting for the next train.": "Viele Leute warten auf den nächsten Zug.",
}
TEXTS = tuple(
    ReferenceText(line, "deu_Latn", source, (target,))
    for line, (source, target) in enumerate(GERMAN.items(), start=1)
)
REFERENCES = ReferenceSet("own", TABLE, "ab" * 32, TEXTS, ())


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return load_identifier(SHIPPED)


def output_of(name: str, targets: Sequence[str]) -> Output:
    made = tuple(Translation(text, 0.0, False, False, not text) for text in targets)
    return Output(name, None, {}, TEXTS, made)


def value(result: Result, name: str) -> float | None:
    metric = result.metric(name)
    assert metric is not None
    return metric.languages["deu_Latn"].value


def test_references_score_full_and_copies_nothing_but_names(identifier: Identifier) -> None:
    perfect, _ = measure(
        output_of("perfect", list(GERMAN.values())), REFERENCES, identifier, with_pieces=False
    )
    copy, _ = measure(copied(TEXTS), REFERENCES, identifier, with_pieces=False)
    assert [value(perfect, name) for name in ("chrf++", "fidelity", "kept", "chrf++.kept")] == [100] * 4
    found = value(copy, "chrf++")
    assert found is not None
    assert found < 25
    assert [value(copy, name) for name in ("fidelity", "kept", "chrf++.kept")] == [0, 0, None]


def test_chrf_is_that_of_sacrebleu(identifier: Identifier) -> None:
    targets = ["Ein Hund rennt.", "Zwei Kinder auf einer Bank.", "Der Mann liest.", "Ein Auto.", "Leute."]
    result, _ = measure(output_of("other", targets), REFERENCES, identifier, with_pieces=False)
    theirs = sacrebleu.corpus_chrf(targets, [list(GERMAN.values())], word_order=2).score
    assert value(result, "chrf++") == pytest.approx(theirs, abs=1e-9)


def test_chrf_of_what_is_kept_is_over_those_alone(identifier: Identifier) -> None:
    targets = list(GERMAN.values())
    targets[0] = "A dog is running across the green meadow."
    output = output_of("mixed", targets)
    result, _ = measure(output, REFERENCES, identifier, with_pieces=False)
    assert value(result, "kept") == 80
    assert value(result, "chrf++.kept") == pytest.approx(100)
    assert "of:kept" in next(one.signature for one in result.metrics if one.name == "chrf++.kept")
    # A mix's own verdicts take the place of the default filters.
    own, _ = measure(
        replace(output, kept=(True, False, False, False, False)), REFERENCES, identifier, with_pieces=False
    )
    assert value(own, "kept") == 20
    assert value(own, "chrf++.kept") == pytest.approx(value(copy_of_first(identifier), "chrf++"))


def copy_of_first(identifier: Identifier) -> Result:
    first = copied(TEXTS[:1])
    return measure(first, REFERENCES, identifier, with_pieces=False)[0]


def test_spbleu_takes_a_model_of_pieces(identifier: Identifier) -> None:
    pieces = model_directory(SMALL) / SENTENCEPIECE
    result, _ = measure(output_of("perfect", list(GERMAN.values())), REFERENCES, identifier, pieces=pieces)
    assert value(result, "spbleu") == pytest.approx(100)


def test_empty_translations_are_counted(identifier: Identifier) -> None:
    result, _ = measure(output_of("silent", [""] * 5), REFERENCES, identifier, with_pieces=False)
    assert [(problem.kind, problem.count) for problem in result.problems] == [("empty", 5)]
    assert [value(result, name) for name in ("chrf++", "fidelity", "kept")] == [0, 0, 0]


def test_results_name_what_was_measured(identifier: Identifier) -> None:
    output = replace(copied(TEXTS), system="small", digest="c" * 16, settings={"beam_size": 1})
    result, items = measure(output, REFERENCES, identifier, with_pieces=False, resamples=20)
    known = result.provenance
    assert (known.task, known.data_digest) == ("translation of own", "ab" * 32)
    assert (known.checkpoint, known.checkpoint_digest, known.generation) == (
        "small",
        "c" * 16,
        {"beam_size": 1},
    )
    assert items.ids == ("1", "2", "3", "4", "5")


class Judge:
    """Gives each pair the score that the test wants; the shape of `QualityModel`."""

    name, digest, higher_is_better = "judge-1", "d" * 64, True

    def __init__(self, column: str, scores: list[float | None]) -> None:
        self.column, self.scores = column, scores

    def score(self, pairs: Sequence[TextPair]) -> list[float | None]:
        assert [pair.source for pair in pairs] == list(GERMAN)
        return self.scores


@pytest.mark.parametrize(("column", "mean"), [("comet_kiwi", 75.0), ("metricx", 0.75)])
def test_a_judge_adds_a_column(identifier: Identifier, column: str, mean: float) -> None:
    judge = Judge(column, [0.5, 1.0, None, None, None])
    output = output_of("perfect", list(GERMAN.values()))
    result, _ = measure(output, REFERENCES, identifier, with_pieces=False, judge=judge)
    assert value(result, column) == pytest.approx(mean)


def scores_of(identifier: Identifier, targets: Sequence[str]) -> ItemScores:
    return measure(output_of("x", targets), REFERENCES, identifier, with_pieces=False, resamples=0)[1]


def test_the_best_leads_the_next_one(identifier: Identifier) -> None:
    good, poor = list(GERMAN.values()), list(GERMAN)
    systems = {"poor": scores_of(identifier, poor), "good": scores_of(identifier, good)}
    best = best_by_language(systems, resamples=200)["deu_Latn"]
    assert (best.system, best.second, best.texts) == ("good", "poor", 5)
    assert best.value == pytest.approx(100)
    assert best.low is not None
    assert best.high is not None
    assert 0 < best.low <= best.lead <= best.high
    # One against itself leads by nothing.
    twice = best_by_language({"first": systems["good"], "second": systems["good"]}, resamples=50)["deu_Latn"]
    assert (twice.system, twice.lead, twice.low, twice.high) == ("first", 0, 0, 0)


def test_systems_are_compared_on_common_texts(identifier: Identifier) -> None:
    whole = scores_of(identifier, list(GERMAN.values()))
    part = ItemScores(
        whole.languages[:2], whole.ids[:2], whole.units[:2], {n: t[:2] for n, t in whole.statistics.items()}
    )
    assert best_by_language({"a": whole, "b": part}, resamples=10)["deu_Latn"].texts == 2
    other = replace(part, languages=("fra_Latn",) * 2)
    assert best_by_language({"a": whole, "b": other}, resamples=10) == {}
    assert np.isfinite(whole.statistics["chrf++"]).all()


def test_a_folder_is_no_model_of_pieces(identifier: Identifier, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="spBLEU"):
        measure(copied(TEXTS), REFERENCES, identifier, pieces=tmp_path)
