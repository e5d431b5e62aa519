"""Planted faults are faults, and nothing else of the pair changes."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import replace

import pytest

from benchmarks.faults import FAULTS, Pool
from evaluation.references import Reference
from translation.filters import Policy, TextPair, load_thresholds, score_pairs, verdicts
from translation.identification import load_identifier
from translation.languages import languages
from translation.segments import numbers, placeholders

TEXTS = {
    "eng_Latn": (
        "The dog is running through the park with 25 children.",
        "A cat sleeps on the old sofa near the window today.",
        "Twelve people waited for the train that left at 1430 sharp.",
    ),
    "deu_Latn": (
        "Der Hund läuft mit 25 Kindern durch den Park.",
        "Eine Katze schläft heute auf dem alten Sofa am Fenster.",
        "Zwölf Menschen warteten auf den Zug, der pünktlich um 1430 abfuhr.",
    ),
    "nob_Latn": (
        "Hunden løper gjennom parken sammen med 25 barn.",
        "En katt sover på den gamle sofaen ved vinduet i dag.",
        "Tolv mennesker ventet på toget som gikk presis 1430.",
    ),
    "dan_Latn": (
        "Hunden løber gennem parken sammen med 25 børn.",
        "En kat sover på den gamle sofa ved vinduet i dag.",
        "Tolv mennesker ventede på toget, der kørte præcis 1430.",
    ),
    "rus_Cyrl": (
        "Собака бежит по парку вместе с 25 детьми.",
        "Сегодня кошка спит на старом диване у окна.",
        "Двенадцать человек ждали поезд, который отправился ровно в 1430.",
    ),
    "zho_Hans": (
        "狗和25个孩子一起在公园里跑。",
        "今天一只猫睡在窗边的旧沙发上。",
        "十二个人在等1430准时出发的火车。",
    ),
}
REFERENCES = [
    Reference("test", number, TextPair(TEXTS["eng_Latn"][number], texts[number], code))
    for code, texts in TEXTS.items()
    if code != "eng_Latn"
    for number in range(3)
]
KITCHEN = Reference("test", 8, TextPair("the kitchen window", "das Küchenfenster", "deu_Latn"))
SHARED = Reference("test", 9, TextPair("football player", "Fußballspieler", "deu_Latn"))


@pytest.fixture(scope="module")
def pool() -> Pool:
    by_text: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    by_language: dict[str, list[Reference]] = defaultdict(list)
    for one in REFERENCES:
        by_text[one.origin, one.number][one.pair.language] = one.pair.target
        by_language[one.pair.language].append(one)
    return Pool(by_text, by_language)


def planted(fault: str, pool: Pool, seed: int = 0) -> list[tuple[Reference, TextPair]]:
    draw = random.Random(f"{fault} {seed}")
    texts = {"copy_of_shared": [SHARED], "copy_in_title_case": [KITCHEN]}.get(fault, REFERENCES)
    made = [(one, FAULTS[fault][1](one, pool, draw)) for one in texts]
    return [(one, pair) for one, pair in made if pair is not None]


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_planted_and_the_pair_is_another_one(fault: str, pool: Pool) -> None:
    made = planted(fault, pool)
    assert made
    for one, pair in made:
        assert pair != one.pair
        assert pair.language == one.pair.language
        assert pair.target
        if fault not in ("placeholder_lost", "sentence_dropped"):
            assert pair.source == one.pair.source
            assert pair.target != one.pair.target


@pytest.mark.parametrize("fault", FAULTS)
def test_the_same_seed_plants_the_same(fault: str, pool: Pool) -> None:
    assert planted(fault, pool, 3) == planted(fault, pool, 3)


def test_other_languages_are_unrelated_or_siblings_as_they_are_called(pool: Pool) -> None:
    spoken = {text: code for code, texts in TEXTS.items() for text in texts}
    for fault in ("wrong_language", "wrong_language_same_script", "sibling"):
        for one, pair in planted(fault, pool):
            own, other = languages()[one.pair.language], languages()[spoken[pair.target]]
            assert (other.nllb in own.confusable) == (fault == "sibling")
            assert fault != "wrong_language_same_script" or other.scripts == own.scripts
    assert {one.pair.language for one, _ in planted("sibling", pool)} == {"nob_Latn", "dan_Latn"}


def test_a_wrong_script_has_no_letter_of_the_right_one(pool: Pool) -> None:
    for one, pair in planted("wrong_script", pool):
        latin = re.search("[a-z]", pair.target) is not None
        assert latin == (one.pair.language in ("rus_Cyrl", "zho_Hans"))
        assert not re.search("[а-я]", pair.target) or one.pair.language != "rus_Cyrl"


def test_what_may_stay_is_no_copy_that_counts(pool: Pool) -> None:
    draw = random.Random(1)
    assert FAULTS["copy"][1](SHARED, pool, draw) is None
    for one in REFERENCES:
        assert FAULTS["copy_of_shared"][1](one, pool, draw) is None
    names = replace(SHARED, pair=TextPair("New York", "Neu York", "deu_Latn"))
    assert [FAULTS[fault][1](names, pool, draw) for fault in ("copy", "copy_of_shared")] == [None, None]


def test_a_copy_in_title_case_is_of_ordinary_words_in_lower_case(pool: Pool) -> None:
    ((_, pair),) = planted("copy_in_title_case", pool)
    assert pair.target == "The Kitchen Window"
    plant, draw = FAULTS["copy_in_title_case"][1], random.Random(1)
    assert all(plant(one, pool, draw) is None for one in (SHARED, *REFERENCES))
    name = replace(KITCHEN, pair=TextPair("the lakers window", "das Fenster", "deu_Latn"))
    assert plant(name, pool, draw) is None


def test_halves(pool: Pool) -> None:
    for one, pair in planted("half_dropped", pool):
        assert one.pair.target.startswith(pair.target)
        assert 0.3 < len(pair.target) / len(one.pair.target) < 0.7
    for one, pair in planted("half_dropped_ended", pool):
        assert pair.target[-1] == one.pair.target[-1]
        assert len(pair.target) < 0.7 * len(one.pair.target)
    for one, pair in planted("half_copied", pool):
        assert pair.target.endswith(" ".join(one.pair.source.split()[-4:]))
        assert not one.pair.target.startswith(pair.target)


def test_one_of_two_sentences_is_dropped(pool: Pool) -> None:
    for one, pair in planted("sentence_dropped", pool):
        assert pair.source.startswith(one.pair.source + " ")
        assert pair.target in TEXTS[one.pair.language]


def test_one_number_is_another(pool: Pool) -> None:
    made = planted("number_changed", pool)
    assert {one.number for one, _ in made} == {0, 2}
    for one, pair in made:
        (before,), (after,) = numbers(one.pair.target), numbers(pair.target)
        assert before != after
        assert len(before) == len(after)
        assert re.sub(r"\d+", "", one.pair.target) == re.sub(r"\d+", "", pair.target)


def test_local_digits_stay_local(pool: Pool) -> None:
    pair = TextPair("There are 25 dogs.", "٢٥ كلبا هناك.", "arb_Arab")
    made = FAULTS["number_changed"][1](Reference("test", 9, pair), pool, random.Random(1))
    assert made is not None
    assert re.match("[٠-٩]{2} كلبا", made.target)
    assert made.target != pair.target


def test_loops_come_seven_times(pool: Pool) -> None:
    for one, pair in planted("loop", pool):
        kept = one.pair.target.rstrip(".。")
        assert pair.target.startswith(kept)
        unit = pair.target[len(kept) :]
        assert unit == unit[: len(unit) // 6] * 6
        assert unit[: len(unit) // 6].strip() in kept


def test_a_placeholder_is_in_the_source_alone(pool: Pool) -> None:
    for _, pair in planted("placeholder_lost", pool):
        assert placeholders(pair.source)
        assert not placeholders(pair.target)


@pytest.mark.parametrize(
    ("fault", "pair"),
    [
        ("copy", TextPair("New York", "New York", "deu_Latn")),
        ("half_copied", TextPair("a red dog", "ein roter Hund", "deu_Latn")),
        ("half_dropped", TextPair("a red dog", "ein roter Hund", "deu_Latn")),
        ("number_changed", TextPair("a red dog", "ein roter Hund", "deu_Latn")),
        ("number_changed", TextPair("room B2", "Raum B2", "deu_Latn")),
        ("loop", TextPair("No, no, no, no!", "Nein, nein, nein!", "deu_Latn")),
        ("loop", TextPair("42", "42", "deu_Latn")),
        ("sentence_dropped", TextPair("a red dog", "ein roter Hund", "deu_Latn")),
        ("half_dropped_ended", TextPair("a red dog runs around", "ein roter Hund läuft herum", "deu_Latn")),
    ],
)
def test_what_would_be_no_fault_is_not_planted(fault: str, pair: TextPair, pool: Pool) -> None:
    draw = random.Random(0)
    assert all(FAULTS[fault][1](Reference("test", 0, pair), pool, draw) is None for _ in range(10))


def test_the_rules_find_the_faults_here_and_reject_no_reference(pool: Pool) -> None:
    identifier = load_identifier("shipped")

    def found(pairs: list[TextPair]) -> list[bool]:
        made = verdicts(score_pairs(pairs, identifier), Policy(), load_thresholds(None))
        return [not one.accepted for one in made]

    assert not any(found([one.pair for one in REFERENCES]))
    for fault in (
        "wrong_language",
        "english",
        "wrong_script",
        "copy",
        "loop",
        "number_changed",
        "placeholder_lost",
    ):
        assert all(found([pair for seed in range(5) for _, pair in planted(fault, pool, seed)])), fault
