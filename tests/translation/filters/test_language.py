"""Leads of other languages, and when a second opinion is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from translation.filters.language import language_scores
from translation.filters.pairs import Batch, TextPair
from translation.identification import Identifier, load_identifier

LONG = "x" * 10_000
"""So many letters that a lead counts whole."""


class Says:
    """An identifier with fixed answers that remembers what it was asked."""

    def __init__(
        self,
        answers: Mapping[str, Mapping[str, float]],
        second: Identifier | None = None,
        names: frozenset[str] = frozenset({"deu_Latn", "fra_Latn", "eng_Latn", "nob_Latn", "dan_Latn"}),
    ) -> None:
        self.answers, self.second_opinion, self.names = answers, second, names
        self.asked: list[str] = []

    name = digest = "says"

    def languages(self) -> frozenset[str]:
        return self.names

    def identify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        self.asked += texts
        return [dict(self.answers.get(text, {})) for text in texts]


def scores(identifier: Identifier, targets: Sequence[str], code: str = "deu_Latn") -> dict[str, list[float]]:
    found = language_scores(Batch([TextPair("x", target, code) for target in targets]), identifier)
    return {name: [round(float(value), 2) for value in values] for name, values in found.items()}


def test_the_lead_of_another_language_is_what_is_missing_to_one() -> None:
    first = Says({LONG: {"fra_Latn": 0.7, "deu_Latn": 0.2}})
    assert scores(first, [LONG])["lid"] == [0.5]
    assert scores(first, [LONG], "fra_Latn")["lid"] == [1]
    assert scores(first, [LONG])["english"] == [0]
    english = Says({LONG: {"eng_Latn": 0.9, "fra_Latn": 0.05}})
    assert scores(english, [LONG])["english"] == [0.9]
    assert scores(english, [LONG])["lid"] == [0.1]


def test_a_sibling_leads_apart() -> None:
    found = scores(Says({LONG: {"dan_Latn": 0.8, "nob_Latn": 0.1}}), [LONG], "nob_Latn")
    assert (found["lid"], found["confusable"]) == ([1], [0.3])
    assert np.isnan(scores(Says({LONG: {"ltz_Latn": 0.8}}), [LONG], "fra_Latn")["confusable"]).all()


def test_a_lead_in_few_letters_counts_less() -> None:
    first = Says({text: {"fra_Latn": 1.0} for text in ("x", "x" * 6, "x" * 60)})
    one, word, sentence = scores(first, ["x", "x" * 6, "x" * 60])["lid"]
    assert one > word > sentence
    assert word == pytest.approx(1 - 6 / 1.1 / (6 / 1.1 + 5), abs=0.05)


class TestSecondOpinion:
    def test_is_asked_only_in_doubt(self) -> None:
        second = Says({})
        texts = {
            "sure": {"deu_Latn": 1.0},
            "nearly": {"deu_Latn": 0.5, "fra_Latn": 0.49},
            "level": {"fra_Latn": 0.505, "deu_Latn": 0.495},
            "doubt": {"fra_Latn": 0.6, "deu_Latn": 0.4},
            "wrong": {"fra_Latn": 1.0},
            "unknown": {},
        }
        scores(Says(texts, second), list(texts))
        assert second.asked == ["doubt", "wrong"]

    def test_counts_half(self) -> None:
        agrees = Says({LONG: {"fra_Latn": 0.9}})
        differs = Says({LONG: {"deu_Latn": 1.0}})
        first = {LONG: {"fra_Latn": 0.9, "deu_Latn": 0.1}}
        assert scores(Says(first, agrees), [LONG])["lid"] == [0.15]
        assert scores(Says(first, differs), [LONG])["lid"] == [0.6]
        assert scores(Says(first), [LONG])["lid"] == [0.2]

    def test_is_not_asked_of_a_language_that_it_cannot_name(self) -> None:
        second = Says({}, names=frozenset({"fra_Latn"}))
        found = scores(Says({LONG: {"fra_Latn": 0.9, "deu_Latn": 0.1}}, second), [LONG])
        assert second.asked == []
        assert found["lid"] == [0.2]

    def test_of_the_identifier_that_ships_is_asked_of_few_good_texts(self) -> None:
        shipped = load_identifier("shipped")
        assert shipped.second_opinion is not None
        asked: list[str] = []
        second = shipped.second_opinion

        class Counting:
            name, digest, second_opinion = second.name, second.digest, None
            languages = staticmethod(second.languages)

            def identify(self, texts: Sequence[str]) -> list[dict[str, float]]:
                asked.extend(texts)
                return second.identify(texts)

        shipped.second_opinion = Counting()  # type: ignore[misc]
        good = "Die Kinder spielen mit ihrem Hund im Garten."
        bad = "Les enfants jouent avec leur chien dans le jardin."
        found = scores(shipped, [good, bad, good])
        assert asked == [bad]
        assert found["lid"][0] == found["lid"][2] == 1
        assert found["lid"][1] < 0.2


def test_none_where_nothing_can_be_told() -> None:
    assert np.isnan([*scores(Says({}), [LONG]).values()]).all()
    found = scores(Says({LONG: {"fra_Latn": 1.0}}), [LONG], "zul_Latn")
    assert np.isnan(found["lid"]).all()
    # That a text is English is plain, even where the wanted language has no name.
    assert scores(Says({LONG: {"eng_Latn": 1.0}}), [LONG], "zul_Latn")["english"] == [1]
    assert np.isnan(scores(Says({LONG: {"eng_Latn": 1.0}}), [LONG], "eng_Latn")["english"]).all()


def test_no_texts() -> None:
    assert all(column == [] for column in scores(Says({}), []).values())
