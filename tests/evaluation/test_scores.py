"""Numbers by language, by tier, without English and over all."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.exact_match import exact_match
from evaluation.fidelity import fidelity
from evaluation.items import Item
from evaluation.scores import NOTHING, Scores, groups_of, score
from evaluation.tiers import TIERS, tier
from tests.evaluation.conftest import item
from translation.languages import default_languages, languages


def asked(language: str, right: int, wrong: int) -> list[Item]:
    made = [item("yes", "yes", language=language, name=str(number)) for number in range(right)]
    return made + [item("no", "yes", language=language, name=str(right + number)) for number in range(wrong)]


def of(items: list[Item], **options: int) -> Scores:
    (found,) = score(items, exact_match(items), **options)
    return found


def test_a_mean_without_english_gives_each_language_the_same_weight() -> None:
    items = (
        asked("eng_Latn", 10, 0) + asked("deu_Latn", 3, 1) + asked("fra_Latn", 1, 9) + asked("yor_Latn", 1, 1)
    )
    found = of(items)
    values = {code: estimate.value for code, estimate in found.languages.items()}
    assert values == {"deu_Latn": 75, "eng_Latn": 100, "fra_Latn": 10, "yor_Latn": 50}
    assert found.macro.value == pytest.approx((75 + 10 + 50) / 3)
    assert found.macro.items == 16
    assert found.overall.value == pytest.approx(100 * 15 / 26)
    assert {name: estimate.value for name, estimate in found.tiers.items()} == {
        "high": pytest.approx(42.5),
        "low": 50,
    }


def test_intervals_hold_the_value_and_come_again_with_the_same_seed() -> None:
    items = asked("deu_Latn", 30, 20) + asked("eng_Latn", 25, 25)
    found, again, other = of(items), of(items), of(items, seed=5)
    assert found == again
    assert found != other
    for estimate in (*found.languages.values(), *found.tiers.values(), found.macro, found.overall):
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.value is not None
        assert estimate.low < estimate.value < estimate.high


def test_the_order_of_items_changes_nothing() -> None:
    items = asked("deu_Latn", 30, 20) + asked("eng_Latn", 25, 25)
    assert of(items) == of(items[::-1])


def test_one_unit_and_no_resamples_give_no_interval() -> None:
    found = of([item("yes", "yes", unit="p"), item("no", "yes", name="2", unit="p")])
    assert found.languages["eng_Latn"].value == 50
    assert (found.overall.low, found.overall.high) == (None, None)
    assert of(asked("deu_Latn", 2, 2), resamples=0).overall.low is None


def test_english_alone_has_no_mean_without_it() -> None:
    found = of(asked("eng_Latn", 1, 1))
    assert found.macro == NOTHING
    assert found.tiers == {}


def test_a_language_without_a_value_is_left_out_of_the_mean() -> None:
    items = [
        item("3", "3", language="deu_Latn"),
        item("un chien court dans l'herbe", "x", language="fra_Latn"),
    ]
    found = {one.name: one for one in score(items, fidelity(items), resamples=10)}
    assert found["fidelity"].languages["deu_Latn"].value is None
    assert found["fidelity"].macro.value == 100


def test_several_measures_share_their_draws() -> None:
    items = asked("deu_Latn", 30, 20)
    first, second = score(items, [*exact_match(items), *exact_match(items)])
    assert first == second


def test_no_items_and_no_measures_are_no_error() -> None:
    assert score([], exact_match([])) == [of([])]
    assert of([]).overall == NOTHING
    assert score(asked("deu_Latn", 1, 1), []) == []


def test_tiers_go_by_share_of_mc4() -> None:
    assert [tier(code) for code in ("rus_Cyrl", "jpn_Jpan", "yor_Latn", "hrv_Latn")] == list(TIERS)
    assert {tier(language.nllb) for language in default_languages()} == {"high", "middle", "low"}
    groups = groups_of(list(languages()))
    assert sum(len(groups[name]) for name in TIERS) == len(groups["macro"]) == len(languages()) - 1
    with pytest.raises(KeyError):
        tier("xxx_Latn")


def test_the_overall_of_a_corpus_metric_pools_the_counts() -> None:
    from evaluation.corpus import chrf

    items = [item("ein Hund", "ein Hund", language="deu_Latn"), item("a cat", "two dogs here")]
    (measure,) = chrf(items)
    (found,) = score(items, [measure], resamples=0)
    assert found.overall.value == pytest.approx(float(measure.value(measure.statistics.sum(axis=0))))
    assert found.languages["deu_Latn"].value == pytest.approx(100)
    assert not np.isclose(found.overall.value or 0, 50)


def test_scripts_of_a_language_are_of_one_tier() -> None:
    assert tier("zho_Hant") == tier("zho_Hans") == "high"
