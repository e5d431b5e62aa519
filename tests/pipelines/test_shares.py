"""The language policy: shares that sum to 1, within floors and caps, or an error that says what to change."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Mapping

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.shares import LanguagePolicy, PolicyError
from translation.languages import ENGLISH, default_languages, languages

CODES = tuple(language.nllb for language in default_languages() if not language.english)
MC4 = {language.nllb: language.mc4_share or 0.0 for language in default_languages()}
WITHOUT_MC4 = tuple(code for code, language in languages().items() if language.mc4_share is None)


@st.composite
def policies(draw: st.DrawFn) -> LanguagePolicy:
    """Policies with any values, of which many are impossible."""
    codes = tuple(draw(st.lists(st.sampled_from(CODES), min_size=1, max_size=20, unique=True)))
    weight = st.one_of(st.floats(1e-9, 10), st.just(0.0))
    weights: str | Mapping[str, float] = draw(
        st.one_of(
            st.sampled_from(["uniform", "proportional"]),
            st.fixed_dictionaries(dict.fromkeys(codes, weight)),
        )
    )
    return LanguagePolicy(
        english_share=draw(st.floats(0, 1)),
        codes=codes,
        weights=weights,  # type: ignore[arg-type]
        alpha=draw(st.floats(0, 2)),
        floor=draw(st.one_of(st.just(0.0), st.floats(0, 0.1))),
        cap=draw(st.one_of(st.none(), st.floats(0.01, 1))),
        per_example=draw(st.integers(1, 4)),
    )


def weight_of(policy: LanguagePolicy, code: str) -> float:
    if isinstance(policy.weights, Mapping):
        return policy.weights[code]
    return 1.0 if policy.weights == "uniform" else MC4[code] ** policy.alpha


@st.composite
def possible_policies(draw: st.DrawFn) -> LanguagePolicy:
    """Policies whose floor and cap leave room for the rest, however narrow."""
    policy = draw(policies())
    if isinstance(policy.weights, Mapping):
        weights = {code: weight + (code == policy.codes[0]) for code, weight in policy.weights.items()}
        policy = dataclasses.replace(policy, weights=weights)
    number, rest = len(policy.codes), 1 - policy.english_share
    some = sum(weight_of(policy, code) > 0 for code in policy.codes)
    floor = draw(st.sampled_from([0.0, 0.1, 0.9, 0.999])) * rest / number
    least = (rest - (number - some) * floor) / some
    cap = draw(st.one_of(st.none(), st.floats(least * 1.001, 1))) if 1e-6 < least < 0.99 else None
    return dataclasses.replace(policy, floor=floor, cap=cap, per_example=1)


@given(possible_policies())
def test_shares_sum_to_one_and_hold_every_bound(policy: LanguagePolicy) -> None:
    shares = policy.shares()
    assert sum(shares.values()) == pytest.approx(1, abs=1e-12)
    assert list(shares) == [ENGLISH, *sorted(policy.codes)]
    assert shares.pop(ENGLISH) == policy.english_share
    most = 1.0 if policy.cap is None else policy.cap
    assert all(policy.floor - 1e-12 <= share <= most + 1e-12 for share in shares.values())


@given(possible_policies())
def test_languages_off_the_bounds_share_by_weight(policy: LanguagePolicy) -> None:
    shares = policy.shares()
    most = 1.0 if policy.cap is None else policy.cap
    free = [code for code in policy.codes if policy.floor + 1e-9 < shares[code] < most - 1e-9]
    total = sum(shares[code] for code in free)
    weights = sum(weight_of(policy, code) for code in free)
    for code in free:
        assert shares[code] == pytest.approx(total * weight_of(policy, code) / weights, rel=1e-6, abs=1e-9)


@given(policies())
def test_no_language_is_wanted_more_often_than_once_an_example(policy: LanguagePolicy) -> None:
    if accepted(policy):
        assert max(policy.shares().values()) <= 1 / policy.per_example + 1e-12


@given(policies())
def test_a_policy_is_refused_only_where_no_shares_could_hold_it(policy: LanguagePolicy) -> None:
    rest = 1 - policy.english_share
    most = rest if policy.cap is None else policy.cap
    some = [code for code in policy.codes if weight_of(policy, code) > 0]
    floors = policy.floor * len(policy.codes)
    room = most * len(some) + policy.floor * (len(policy.codes) - len(some))
    possible = bool(some) and floors <= rest <= room and (policy.cap is None or policy.floor <= policy.cap)
    # Within rounding either answer is right.
    assume(abs(floors - rest) > 1e-9 and (policy.cap is None or abs(room - rest) > 1e-9))
    assert possible == accepted(dataclasses.replace(policy, per_example=1))


def accepted(policy: LanguagePolicy) -> bool:
    try:
        policy.shares()
    except PolicyError:
        return False
    return True


def test_half_english_and_the_rest_uniform() -> None:
    shares = LanguagePolicy(0.5, CODES).shares()
    assert shares[ENGLISH] == 0.5
    assert {round(shares[code], 15) for code in CODES} == {round(0.5 / 95, 15)}


def test_proportional_with_alpha_one_is_the_raw_share_of_mc4() -> None:
    shares = LanguagePolicy(MC4[ENGLISH] / 100, CODES, "proportional").shares()
    assert shares == {code: pytest.approx(MC4[code] / 100) for code in shares}


def test_alpha_tempers_the_shares() -> None:
    raw, flat = (LanguagePolicy(0.4, CODES, "proportional", alpha=alpha).shares() for alpha in (1, 0.3))
    ratio = raw["deu_Latn"] / raw["yor_Latn"]
    assert flat["deu_Latn"] / flat["yor_Latn"] == pytest.approx(ratio**0.3)
    assert LanguagePolicy(0.4, CODES, "proportional", alpha=0).shares() == pytest.approx(
        LanguagePolicy(0.4, CODES).shares()
    )


def test_what_the_cap_takes_goes_to_the_others_by_weight() -> None:
    weights = {"deu_Latn": 8.0, "fra_Latn": 1.0, "yor_Latn": 1.0}
    shares = LanguagePolicy(0.2, weights=weights, cap=0.4).shares()
    assert shares == pytest.approx({ENGLISH: 0.2, "deu_Latn": 0.4, "fra_Latn": 0.2, "yor_Latn": 0.2})


def test_what_the_floor_gives_comes_from_the_others_by_weight() -> None:
    weights = {"deu_Latn": 6.0, "fra_Latn": 3.0, "yor_Latn": 0.0, "ibo_Latn": 0.1}
    shares = LanguagePolicy(0.2, weights=weights, floor=0.1).shares()
    wanted = {ENGLISH: 0.2, "deu_Latn": 0.4, "fra_Latn": 0.2, "ibo_Latn": 0.1, "yor_Latn": 0.1}
    assert shares == pytest.approx(wanted)


def test_a_weight_of_zero_without_a_floor_is_no_share() -> None:
    weights = {"deu_Latn": 1.0, "fra_Latn": 0.0}
    assert LanguagePolicy(0.5, weights=weights).shares() == {ENGLISH: 0.5, "deu_Latn": 0.5, "fra_Latn": 0.0}


def test_the_floor_of_a_weight_of_zero_helps_to_fill_the_mix_under_a_cap() -> None:
    policy = LanguagePolicy(0.5, weights={"deu_Latn": 1.0, "fra_Latn": 0.0}, floor=0.1, cap=0.4)
    assert policy.shares() == pytest.approx({ENGLISH: 0.5, "deu_Latn": 0.4, "fra_Latn": 0.1})


def test_the_smallest_of_weights_still_takes_what_caps_leave() -> None:
    policy = LanguagePolicy(0.0, weights={"deu_Latn": 1.0, "fra_Latn": 5e-324}, cap=0.5)
    assert policy.shares() == {ENGLISH: 0.0, "deu_Latn": 0.5, "fra_Latn": 0.5}


def test_only_english_needs_no_codes() -> None:
    assert LanguagePolicy(1.0).shares() == {ENGLISH: 1.0}


def test_the_order_of_codes_means_nothing() -> None:
    one, other = (LanguagePolicy(0.3, codes, "proportional").shares() for codes in (CODES, CODES[::-1]))
    assert list(one.items()) == list(other.items())


def test_languages_per_example_leave_room_for_thirds() -> None:
    third = 1 / 3
    weights = {"deu_Latn": 1.0, "fra_Latn": 1.0}
    shares = LanguagePolicy(third, weights=weights, per_example=3).shares()
    assert shares == pytest.approx(dict.fromkeys(shares, third))
    # As people write it, and as messages do.
    shares = LanguagePolicy(0.3333, weights=weights, per_example=3).shares()
    assert shares == dict.fromkeys(shares, third)


@pytest.mark.parametrize(
    ("policy", "key", "words"),
    [
        (LanguagePolicy(1.5, CODES), "english_share", "give 0 to 1"),
        (LanguagePolicy(float("nan"), CODES), "english_share", "nan"),
        (LanguagePolicy(0.5), "codes", "add codes, or give it 1"),
        (LanguagePolicy(0.5, (ENGLISH, "deu_Latn")), "codes", "English has its own share"),
        (LanguagePolicy(0.5, ("deu_Latn", "deu_Latn")), "codes", "deu_Latn stands there twice"),
        (LanguagePolicy(0.5, ("deu_Latn",), {"fra_Latn": 1}), "codes", "deu_Latn, fra_Latn"),
        (LanguagePolicy(0.5, weights={ENGLISH: 1}), "weights.eng_Latn", "English has its own share"),
        (LanguagePolicy(0.5, weights={"deu_Latn": -1}), "weights.deu_Latn", "-1 is no weight"),
        (LanguagePolicy(0.5, weights={"deu_Latn": float("nan")}), "weights.deu_Latn", "nan is no weight"),
        (LanguagePolicy(0.5, weights={"deu_Latn": float("inf")}), "weights.deu_Latn", "inf is no weight"),
        (LanguagePolicy(0.5, weights={"deu_Latn": 0, "fra_Latn": 0}), "weights", "all of them are 0"),
        (LanguagePolicy(0.5, CODES, "flat"), "weights", "uniform, proportional"),  # type: ignore[arg-type]
        (LanguagePolicy(0.5, CODES, "proportional", alpha=-1), "alpha", "give 0 (uniform) or more"),
        (LanguagePolicy(0.5, CODES, floor=0.01), "floor", "at most 0.005263 is possible"),
        (LanguagePolicy(0.5, CODES, floor=-0.01), "floor", "no share"),
        (LanguagePolicy(0.5, CODES, cap=0.005), "cap", "at least 0.005263 is needed"),
        (LanguagePolicy(0.5, weights={"deu_Latn": 1, "fra_Latn": 0}, cap=0.3), "cap", "at least 0.5 is"),
        (LanguagePolicy(0.5, CODES, cap=0), "cap", "more than 0"),
        (LanguagePolicy(0.5, CODES, floor=0.004, cap=0.001), "cap", "below the floor 0.004"),
        (LanguagePolicy(0.5, CODES, per_example=0), "per_example", "at least 1"),
        (LanguagePolicy(0.5, CODES, per_example=3), "per_example", "lower english_share to 0.3333"),
        (
            LanguagePolicy(0.2, weights={"deu_Latn": 9, "fra_Latn": 1}, per_example=2),
            "per_example",
            "deu_Latn has 0.72; set cap to 0.5, or per_example to 1",
        ),
        (LanguagePolicy(0.5, CODES, unit="row"), "unit", "example, image"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_an_impossible_policy_names_the_key_and_what_to_do(
    policy: LanguagePolicy, key: str, words: str
) -> None:
    with pytest.raises(PolicyError) as caught:
        policy.shares()
    assert caught.value.key == key
    assert words in str(caught.value)


def test_proportional_names_the_languages_without_a_share_of_mc4() -> None:
    policy = LanguagePolicy(0.5, ("deu_Latn", *WITHOUT_MC4[:2]), "proportional")
    with pytest.raises(PolicyError, match=f"{WITHOUT_MC4[0]}, {WITHOUT_MC4[1]}: no share of mC4") as caught:
        policy.shares()
    assert caught.value.key == "weights"
    assert "deu_Latn" not in str(caught.value)


def test_a_bound_just_within_what_the_errors_propose_is_accepted() -> None:
    assert accepted(LanguagePolicy(0.5, CODES, floor=0.005263))
    assert accepted(LanguagePolicy(0.5, CODES, cap=0.005264))


def test_the_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(PolicyError("floor", "too much")))
    assert (error.key, str(error)) == ("floor", "too much")
