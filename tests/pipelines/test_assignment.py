"""Which language and which split: functions of seed and id alone, with the shares that were asked for."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pipelines.assignment import policy_of, split_of
from translation.languages import default_languages

CODES = [language.nllb for language in default_languages()]


def test_half_stays_english_and_the_rest_is_uniform() -> None:
    policy = policy_of(0.5, CODES)
    counts = Counter(policy.language(17, f"example-{i}") for i in range(190_000))
    assert abs(counts.pop("eng_Latn") / 190_000 - 0.5) < 0.01
    assert len(counts) == 95
    # 1,000 expected each; 5 standard deviations.
    assert all(abs(count - 1000) < 160 for count in counts.values())


@given(st.text(), st.integers(0, 2**40), st.floats(0, 1), st.sets(st.sampled_from(CODES)))
def test_every_example_gets_a_language_of_the_policy(
    example: str, seed: int, share: float, codes: set[str]
) -> None:
    policy = policy_of(share, sorted(codes))
    language = policy.language(seed, example)
    assert language in codes | {"eng_Latn"}
    assert policy_of(share, list(codes)).language(seed, example) == language


def test_no_english_share_means_no_english() -> None:
    policy = policy_of(0.0, ["deu_Latn", "fra_Latn"])
    assert {policy.language(1, str(i)) for i in range(200)} == {"deu_Latn", "fra_Latn"}


def test_another_seed_assigns_otherwise() -> None:
    policy = policy_of(0.5, CODES)
    ids = [str(i) for i in range(100)]
    assert [policy.language(1, i) for i in ids] != [policy.language(2, i) for i in ids]


def test_the_held_out_share_is_the_one_asked_for() -> None:
    held_out = sum(split_of(5, f"image-{i}", 0.02) == "validation" for i in range(50_000))
    assert abs(held_out / 50_000 - 0.02) < 0.004
