"""Scores say what a human would see in a pair."""

from __future__ import annotations

import math
import time

import pytest

from translation.filters import (
    SCORES,
    Policy,
    ScoreTable,
    TextPair,
    Verdict,
    is_short,
    load_thresholds,
    score_pairs,
    verdicts,
)
from translation.filters.completeness import has_end
from translation.identification import Identifier, load_identifier
from translation.languages import default_languages, languages
from translation.translations import Translation


@pytest.fixture(scope="module")
def cld() -> Identifier:
    return load_identifier("cld")


@pytest.fixture(scope="module")
def shipped() -> Identifier:
    return load_identifier("shipped")


def _scores(cld: Identifier, pair: TextPair) -> dict[str, float | None]:
    return next(score_pairs([pair], cld).rows())


def _verdict(table: ScoreTable) -> Verdict:
    (made,) = verdicts(table, Policy(), load_thresholds(None))
    return made


def _translation(text: str, **flags: bool) -> Translation:
    return Translation(
        text,
        -0.5,
        cut_off=flags.get("cut_off", False),
        unknown=flags.get("unknown", False),
        empty=flags.get("empty", False),
    )


def test_scores_are_aligned_with_the_pairs_and_name_every_score(cld: Identifier) -> None:
    pairs = [TextPair("dog", "Hund", "deu_Latn"), TextPair("dog", "chien", "fra_Latn")]
    found = list(score_pairs(pairs, cld).rows())
    assert [tuple(scores) for scores in found] == [SCORES, SCORES]
    assert found[1] == _scores(cld, pairs[1])
    assert [scores["letters"] for scores in found] == [4, 5]
    assert len(score_pairs([], cld)) == 0
    assert list(score_pairs([], cld).rows()) == []


def test_every_rule_of_the_policy_is_a_score() -> None:
    assert set(Policy.__dataclass_fields__) < set(SCORES)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("aperiodic " * 10_000, "".join(chr(97 + (i * i * 31 + i // 7) % 26) for i in range(100_000))),
        ("dog " * 20_000, "dog " * 20_001),
        ("a dog", "ab" * 50_000),
        ("`" * 99_999, "`" * 100_000),
        ("1,2." * 25_000, "1.2," * 25_000),
        (" ".join(map(str, range(10_000, 26_000))), " ".join(map(str, range(30_000, 46_000)))),
        (" ".join(f"{n} feet" for n in range(9_000)), " ".join(f"{n} Meter" for n in range(9_000))),
        ("two seven " * 10_000, "acht elf " * 10_000),
        ("GATTACA" * 14_000, "д " + "gattaca" * 14_000),
    ],
)
def test_a_text_of_100_kb_is_scored_in_seconds(shipped: Identifier, source: str, target: str) -> None:
    begun = time.process_time()
    language = "rus_Cyrl" if "д" in target else "deu_Latn"
    scores = _scores(shipped, TextPair(source, target, language, None, source))
    assert all(value is None or math.isfinite(value) for value in scores.values())
    assert time.process_time() - begun < 20


class TestLanguage:
    def test_the_right_language_gets_one(self, cld: Identifier) -> None:
        scores = _scores(
            cld, TextPair("A dog runs in the garden.", "Ein Hund läuft im Garten herum.", "deu_Latn")
        )
        assert (scores["lid"], scores["english"], scores["confusable"]) == (1, 0, None)

    def test_another_language_gets_near_zero(self, cld: Identifier) -> None:
        target = "Un petit chien joue avec une balle rouge dans le jardin de la maison."
        scores = _scores(cld, TextPair("A dog.", target, "deu_Latn"))
        assert scores["lid"] is not None
        assert scores["lid"] < 0.3

    def test_english_is_told_apart_from_other_languages(self, cld: Identifier) -> None:
        target = "A small dog is playing with a red ball in the garden."
        scores = _scores(cld, TextPair("Ein Hund", target, "deu_Latn"))
        assert scores["english"] is not None
        assert scores["english"] > 0.7

    def test_a_sibling_counts_apart(self, cld: Identifier) -> None:
        danish = (
            "Efter at have spist frokost gik børnene ud i haven for at lege med hunden, som var meget glad."
        )
        scores = _scores(cld, TextPair("x", danish, "nob_Latn"))
        assert scores["lid"] == 1
        assert scores["confusable"] is not None
        assert scores["confusable"] < 0.3

    @pytest.mark.parametrize("target", ["casa roja", "Brot", "taxi", "me gusta"])
    def test_a_short_text_is_not_condemned_by_a_guess(self, cld: Identifier, target: str) -> None:
        for language in ("deu_Latn", "ita_Latn", "swh_Latn"):
            scores = _scores(cld, TextPair("something", target, language))
            assert scores["lid"] is not None
            assert scores["lid"] >= 0.5

    @pytest.mark.parametrize("target", ["", "42", "…"])
    def test_without_letters_nothing_is_known(self, cld: Identifier, target: str) -> None:
        scores = _scores(cld, TextPair("42", target, "deu_Latn"))
        assert (scores["lid"], scores["english"], scores["script"]) == (None, None, None)

    def test_a_language_that_cannot_be_named_is_not_judged(self, cld: Identifier) -> None:
        assert "kea_Latn" not in cld.languages()
        scores = _scores(cld, TextPair("A dog.", "Un katxor ta kore na kintal di kaza.", "kea_Latn"))
        assert scores["lid"] is None


class TestScript:
    @pytest.mark.parametrize(
        ("source", "target", "language", "share"),
        [
            ("a dog", "собака", "rus_Cyrl", 1),
            ("a dog", "a dog", "rus_Cyrl", 0),
            ("Dog", "Dog", "tha_Thai", 0),
            ("a dog", "sobaka собака", "rus_Cyrl", 0.5),
            ("The BBC and Samsung in 2020", "BBC และ Samsung ในปี 2020", "tha_Thai", 1),
            ("the bbc logo", "โลโก้ of the", "tha_Thai", 4 / 9),
            ("an iPhone", "iPhone", "zho_Hans", None),
            ("a dog", "собака", "deu_Latn", 0),
            ("a dog", "犬がいる", "jpn_Jpan", 1),
            ("coffee", "コーヒー", "jpn_Jpan", 1),
            # Serbian is Cyrillic in NLLB; a Latin letter within a word is a slip of the keyboard.
            ("a dog runs", "пас трчи", "srp_Cyrl", 1),
            ("a dog runs", "pas trči", "srp_Cyrl", 0),
            ("a dog", "cобакa", "srp_Cyrl", 1),
            ("plan a", "плaн a", "srp_Cyrl", 1),
            ("a dog", "собaka", "srp_Cyrl", 3 / 6),
            ("a dog", "Рa", "tha_Thai", 0),
            # What only the other of the two Chinese scripts writes is no letter of this one.
            ("a dog plays in the park", "狗在花园里玩", "zho_Hans", 1),
            ("a dog plays in the park", "狗在花園裡玩", "zho_Hans", 4 / 6),
            ("a dog plays in the park", "狗在花園裡玩", "zho_Hant", 1),
            ("a bird", "鳥", "zho_Hans", 0),
            ("a bird", "鸟", "zho_Hant", 0),
            ("a dog in the garden", "سەگێک لە باخ", "kmr_Latn", 0),
            ("a dog in the garden", "kûçik li baxçe", "kmr_Latn", 1),
            ("a dog in the garden", "سەگێک لە باخ", "ckb_Arab", 1),
            ("a dog in the garden", "бақтағы ит", "kaz_Cyrl", 1),
            ("a dog in the garden", "baqtağı it", "kaz_Cyrl", 0),
            ("a dog", "ਕੁੱਤਾ", "pan_Guru", 1),
            ("a dog", "کتا", "pan_Guru", 0),
            # Names that the source has may stay in Latin; other words may not.
            ("Tom sees Mary", "Том видит Mary", "rus_Cyrl", 1),
            ("Tom sees Mary", "Том видит mary", "rus_Cyrl", 8 / 12),
            ("Tom sees a girl", "Том видит Mary", "rus_Cyrl", 8 / 12),
            ("New York", "New York", "rus_Cyrl", 0),
            ("vitamin C", "витамин C", "rus_Cyrl", 1),
            # A source without capitals has its names in lower case; their capitals show them.
            ("an iphone on a table", "iPhone на столе", "rus_Cyrl", 1),
            ("led lights on a wall", "墙上的LED灯", "zho_Hans", 1),
            ("A plane over new york", "самолёт над New York", "rus_Cyrl", 10 / 13),
            ("tv", "TV", "jpn_Jpan", None),
            ("a red umbrella", "A Red Umbrella", "rus_Cyrl", 0),
            ("a red umbrella", "красный Umbrella", "rus_Cyrl", 7 / 15),
            # What no translation changes.
            (
                "See https://www.example.org/a/b for it.",
                "इसके लिए https://www.example.org/a/b देखें।",
                "hin_Deva",
                1,
            ),
            ("fire engine {name}", "दमकल {name}", "hin_Deva", 1),
            ("`git commit --amend`", "`git commit --amend`", "rus_Cyrl", None),
            ("5 m", "5 m", "jpn_Jpan", None),
            ("it is 5 m high", "これは5 mです", "jpn_Jpan", 1),
            ("see the dogs", "www.dogs.org собаки", "rus_Cyrl", 6 / 16),
            # No letter is left out twice, and none that is left out counts as right.
            ("vitamin c", "витамин C", "rus_Cyrl", 1),
            ("c", "вв C C", "rus_Cyrl", 1),
            ("`кот` A", "`кот` A", "rus_Cyrl", 0),
        ],
    )
    def test_share(
        self, cld: Identifier, source: str, target: str, language: str, share: float | None
    ) -> None:
        assert _scores(cld, TextPair(source, target, language))["script"] == pytest.approx(share)


class TestLength:
    @pytest.mark.parametrize(
        ("source", "target", "language", "low", "high"),
        [
            ("A dog plays in the garden.", "Ein Hund spielt im Garten.", "deu_Latn", 0.9, 1.1),
            ("A dog plays with a ball in the garden.", "一只狗在花园里玩球。", "zho_Hans", 0.7, 1.2),
            ("TV", "television", "fra_Latn", 1, 2),
            ("A dog plays with a red ball in the green garden of a house.", "Hund", "deu_Latn", 0, 0.5),
            ("a dog", "Hund " * 40, "deu_Latn", 5, 100),
        ],
    )
    def test_ratio_to_what_the_source_lets_expect(
        self, cld: Identifier, source: str, target: str, language: str, low: float, high: float
    ) -> None:
        ratio = _scores(cld, TextPair(source, target, language))["length_ratio"]
        assert ratio is not None
        assert low <= ratio <= high


class TestCopy:
    @pytest.mark.parametrize(
        ("source", "target", "share"),
        [
            ("a man riding a wave on a board", "a man riding a wave on a board", 1),
            ("A MAN RIDING A WAVE", "a man riding a wave", 1),
            ("a red ball", "a red ball", 1),
            ("A MAN RIDING A WAVE", "A MAN RIDING A WAVE", 1),
            ("A BIG DOG", "a big dog", 1),
            ("The Dog Barks in Paris", "The Dog Barks in Paris", 1),
            ('"A dog," she said', '"A dog," she said', 1),
            ("New York City", "New York City", None),
            ("Pizza", "Pizza", None),
            # German shares each of these words, and people say `Mitarbeiter`.
            ("man office worker", "man office worker", 1),
            ("football player", "football player", None),
            # German has `in` too.
            ("a man in Berlin", "ein Mann in Berlin", 0),
            ("a quetzal", "Ein quetzal", 1 / 2),
            # A noun of German, which has a capital.
            ("a zebra in a zoo", "Ein Zebra in einem Zoo", 0),
            ("a man riding a wave on a board", "ein Mann riding a wave on a board", 0.8),
            # Of 11 words that count, 4 in a row weigh more than 5 here and there.
            (
                "two men in dark suits are riding a wave near the old beach",
                "zwei Männer in dunklen Anzügen riding a wave near the Strand",
                4 / 6,
            ),
            (
                "two men in dark suits are riding a wave near the old beach",
                "zwei men in dunklen suits beim riding auf der wave am beach",
                5 / 12,
            ),
            ("two men in dark suits are riding a wave", "zwei Männer reiten auf einer wave", 1 / 3),
            ("42", "42", 0),
            ("a small dog", "ein kleiner Hund", 0),
        ],
    )
    def test_share_of_words(self, cld: Identifier, source: str, target: str, share: float | None) -> None:
        assert _scores(cld, TextPair(source, target, "deu_Latn"))["copy"] == pytest.approx(share)

    @pytest.mark.parametrize(
        ("source", "target", "language"),
        [
            ("new york", "New York", "fra_Latn"),
            ("NEW YORK", "New York", "fra_Latn"),
            ("nike", "Nike", "spa_Latn"),
            ("a poster for game of thrones", "um cartaz de Game of Thrones", "por_Latn"),
            ("the logo for the los angeles lakers", "El logo de Los Angeles Lakers", "spa_Latn"),
            ("A man in new york", "Ein Mann in New York", "deu_Latn"),
            ("a red umbrella", "Ein roter Umbrella", "deu_Latn"),
            ("a dog with an ipad", "Ein Hund mit einem iPad", "deu_Latn"),
        ],
    )
    def test_names_that_a_source_without_capitals_hides_are_no_copies(
        self, cld: Identifier, source: str, target: str, language: str
    ) -> None:
        share = _scores(cld, TextPair(source, target, language))["copy"]
        assert share is not None
        assert share <= 0.5

    @pytest.mark.parametrize("language", ["deu_Latn", "ltz_Latn", "fra_Latn", "yor_Latn"])
    @pytest.mark.parametrize(
        ("source", "target"),
        [
            ("kitchen", "Kitchen"),
            ("fire truck", "Fire Truck"),
            ("a red umbrella", "A Red Umbrella"),
            ("KITCHEN DOOR", "Kitchen Door"),
            ("nike", "nike"),
        ],
    )
    def test_a_copy_is_one_with_capitals_too(
        self, cld: Identifier, source: str, target: str, language: str
    ) -> None:
        assert _scores(cld, TextPair(source, target, language))["copy"] == 1


@pytest.mark.parametrize("target", ["?? ???? ??", ". . .", "😀😀", "- - -", "…"])
def test_a_text_of_no_letter_and_no_digit_is_empty(cld: Identifier, target: str) -> None:
    assert _scores(cld, TextPair("a small red car", target, "hin_Deva"))["empty"] == 1
    assert _scores(cld, TextPair("?!", target, "hin_Deva"))["empty"] == 0
    assert _scores(cld, TextPair("five", "5", "hin_Deva"))["empty"] == 0


def test_code_and_addresses_say_nothing_of_the_language(shipped: Identifier) -> None:
    code = "```\ndef the_answer(of_life):\n    return 'the meaning of life and everything'\n```"
    pairs = [
        TextPair(f"Use this code:\n{code}", f"Utilisez ce code :\n{code}", "fra_Latn"),
        TextPair(code, code, "fra_Latn"),
        TextPair(
            "a dog at www.thedogshelterofnewyork.com",
            "un chien sur www.thedogshelterofnewyork.com",
            "fra_Latn",
        ),
    ]
    assert [one.reason for one in verdicts(score_pairs(pairs, shipped), Policy(), load_thresholds(None))] == [
        None
    ] * 3


class TestRepetition:
    @pytest.mark.parametrize(
        "target",
        [
            "ein Hund Hund Hund Hund Hund",
            "neeeeeeeeeein",
            "ein Hund im Garten, ein Hund im Garten, ein Hund im Garten, ein Hund im Garten",
            "Hahahahahahaha",
            "Donaudampfschiff" * 4,
            "rot,blau,grün,gelb," * 4,
            "Der Hund läuft durch den großen Garten des Hauses. Er bellt. "
            "Der Hund läuft durch den großen Garten des Hauses. Sie lacht. "
            "Der Hund läuft durch den großen Garten des Hauses.",
        ],
    )
    def test_loops(self, cld: Identifier, target: str) -> None:
        value = _scores(cld, TextPair("a dog runs", target, "deu_Latn"))["repetition"]
        assert value is not None
        assert value > 0.3

    @pytest.mark.parametrize(
        ("source", "target", "language"),
        [
            ("a butterfly", "seekor kupu-kupu", "ind_Latn"),
            ("1000000 dogs", "1000000 Hunde", "deu_Latn"),
            ("ha ha ha ha", "ha ha ha ha", "deu_Latn"),
            ("a boat trip", "eine Schifffahrt", "deu_Latn"),
            ("a captain", "Donaudampfschifffahrtsgesellschaftskapitän", "deu_Latn"),
            ("-----", "-----", "deu_Latn"),
            ("a dog", "", "deu_Latn"),
            # Twice is no loop, and a text too short to hold much twice is not looked at for it.
            (
                "two red balls in the grass and a bike",
                "ein roter Ball im Gras, ein roter Ball im Gras, ein Rad",
                "deu_Latn",
            ),
            (
                "There is a dog on a bench and a cat on a wall",
                "Auf einer Bank ist ein Hund und auf einer Mauer ist eine Katze",
                "deu_Latn",
            ),
        ],
    )
    def test_no_loops(self, cld: Identifier, source: str, target: str, language: str) -> None:
        assert _scores(cld, TextPair(source, target, language))["repetition"] == 0

    def test_loops_where_no_spaces_are_written(self, cld: Identifier) -> None:
        value = _scores(cld, TextPair("a dog runs", "小狗跑" + "在花园里" * 6, "zho_Hans"))["repetition"]
        assert value is not None
        assert value > 0.5


class TestCompleteness:
    @pytest.mark.parametrize(
        ("source", "target", "share"),
        [
            ("3 dogs", "3 Hunde", 1),
            ("3 dogs", "drei Hunde", 1),
            ("3 dogs", "5 Hunde", 0),
            ("1,000.5 dogs and 3 cats", "1.000,5 Hunde und 3 Katzen", 1),
            ("dogs", "5 Hunde", None),
        ],
    )
    def test_numbers(self, cld: Identifier, source: str, target: str, share: float | None) -> None:
        assert _scores(cld, TextPair(source, target, "deu_Latn"))["numbers"] == share

    @pytest.mark.parametrize(
        ("source", "target", "share"),
        [
            ("<image> What is it?", "<image> Was ist das?", 1),
            ("<image> What is it?", "Was ist das?", 0),
            ("What is it?", "Was ist <image>?", 0),
            ("Hi {name}, see {url}", "Hallo {name}, siehe url", 0.5),
            ("What is it?", "Was ist das?", None),
        ],
    )
    def test_placeholders(self, cld: Identifier, source: str, target: str, share: float | None) -> None:
        assert _scores(cld, TextPair(source, target, "deu_Latn"))["placeholders"] == share

    @pytest.mark.parametrize(
        ("source", "target", "ratio"),
        [
            ("A dog runs. A cat sits.", "Ein Hund läuft. Eine Katze sitzt.", 1),
            # Nothing of the three lost ones is there.
            ("A dog runs. A cat sits. It rains and rains. Nobody is there.", "Ein Hund läuft.", 0.4),
            # One made of two is no fault while the length is as expected.
            ("A dog runs.", "Ein Hund. Er läuft.", 1),
            ("A dog runs.", "Ein Hund läuft hier sehr schnell. Er läuft und läuft weiter.", 2 / 3),
            ("A dog runs. A cat sits.", "Ein Hund läuft hier herum, und eine Katze sitzt da still.", 1),
            ("42", "42", None),
        ],
    )
    def test_sentences(self, cld: Identifier, source: str, target: str, ratio: float | None) -> None:
        assert _scores(cld, TextPair(source, target, "deu_Latn"))["sentences"] == pytest.approx(ratio)

    def test_a_missing_sentence_counts_by_what_the_length_lacks(self, cld: Identifier) -> None:
        source = "A dog runs in the park with a red ball. A cat sits on the roof and looks at it."
        targets = [
            "Ein Hund läuft mit einem roten Ball.",
            "Ein Hund läuft im Park mit einem roten Ball herum.",
            "Ein Hund läuft im Park mit einem roten Ball, eine Katze sitzt da.",
            "Ein Hund läuft im Park mit rotem Ball, und eine Katze sitzt auf dem Dach und sieht ihm zu.",
        ]
        found = [_scores(cld, TextPair(source, text, "deu_Latn"))["sentences"] for text in targets]
        known = [score for score in found if score is not None]
        assert known == sorted(set(known))
        assert known[0] == pytest.approx(2 / 3)
        assert known[1] < 0.75
        assert known[3] > 0.85

    def test_half_of_a_text_is_missing_whatever_its_sentences_count(self, cld: Identifier) -> None:
        source = "A dog runs in the park with a red ball. A cat sits on the roof and looks at it."
        parted = TextPair(source, "Ein Hund läuft. Er hat einen Ball.", "deu_Latn")
        assert _scores(cld, parted)["sentences"] == pytest.approx(2 / 3, abs=0.01)
        # One sentence may have become half as long.
        alone = TextPair(source[:39], "Ein Hund läuft.", "deu_Latn")
        assert _scores(cld, alone)["sentences"] == 1

    @pytest.mark.parametrize(
        ("source", "target", "tells"),
        [
            ("A dog runs in the garden.", "Ein Hund läuft im", True),
            ("A dog runs in the garden.", "Ein Hund läuft im Garten.", False),
            ("A dog runs in the garden", "Ein Hund läuft im", False),
            ('He said: "Run!"', "„Lauf!“, sagte er.”", False),
            ("A dog runs in the garden.", "कुत्ता बाग में दौड़ता है।", False),
        ],
    )
    def test_a_missing_end_mark_lets_the_length_speak(
        self, cld: Identifier, source: str, target: str, tells: bool
    ) -> None:
        scores = _scores(cld, TextPair(source, target, "deu_Latn"))
        assert scores["ending"] == (scores["length_ratio"] if tells else None)

    def test_flags_of_the_engine(self, cld: Identifier) -> None:
        for name in ("cut_off", "unknown", "empty"):
            scores = _scores(
                cld, TextPair("a dog", "ein Hund", "deu_Latn", _translation("ein Hund", **{name: True}))
            )
            assert scores[name] == 1
            assert (
                sum(value == 1 for key, value in scores.items() if key in {"cut_off", "unknown", "empty"})
                == 1
            )

    def test_text_at_hand_has_no_engine(self, cld: Identifier) -> None:
        scores = _scores(cld, TextPair("a dog", "ein <unk>", "deu_Latn"))
        assert (scores["cut_off"], scores["model_score"]) == (None, None)
        assert scores["unknown"] == 1
        assert _scores(cld, TextPair("a dog", " ", "deu_Latn"))["empty"] == 1

    def test_model_score_is_kept(self, cld: Identifier) -> None:
        scores = _scores(cld, TextPair("a dog", "ein Hund", "deu_Latn", _translation("ein Hund")))
        assert scores["model_score"] == -0.5


class TestRoundTrip:
    @pytest.mark.parametrize(
        ("source", "back", "exact"),
        [
            ("a red dog", "The red dog!", 1),
            ("Yes", "yes.", 1),
            ("dog", "cat", 0),
            ("dog", "", 0),
            ("A", "the", 0),
            ("dog", None, None),
            ("!", "!", None),
        ],
    )
    def test_short_texts_match_or_not(
        self, cld: Identifier, source: str, back: str | None, exact: float | None
    ) -> None:
        scores = _scores(cld, TextPair(source, "Hund", "deu_Latn", None, back))
        assert (scores["round_trip_exact"], scores["round_trip_chrf"]) == (exact, None)

    def test_longer_texts_get_chrf(self, cld: Identifier) -> None:
        source = "A small dog is playing in the garden."
        good, bad = (
            _scores(cld, TextPair(source, "Ein Hund", "deu_Latn", None, back))["round_trip_chrf"]
            for back in ("A little dog is playing in the garden.", "The prices went up on Monday.")
        )
        assert good is not None
        assert bad is not None
        assert bad < 30 < 70 < good <= 100

    def test_what_is_short(self) -> None:
        assert is_short("on the red table")
        assert not is_short("a dog on the red table")


GOOD = {
    "deu_Latn": "Zwei Hunde spielen mit einem roten Ball im Gras.",
    "spa_Latn": "Dos perros juegan con una pelota roja en la hierba.",
    "jpn_Jpan": "2匹の犬が草の上で赤いボールで遊んでいる。",
    "kor_Hang": "개 두 마리가 풀밭에서 빨간 공을 가지고 놀고 있다.",
    "rus_Cyrl": "Две собаки играют с красным мячом на траве.",
    "arb_Arab": "كلبان يلعبان بكرة حمراء على العشب.",
    "swh_Latn": "Mbwa wawili wanacheza na mpira mwekundu kwenye nyasi.",
    "tha_Thai": "สุนัขสองตัวกำลังเล่นลูกบอลสีแดงบนหญ้า",
}


@pytest.mark.parametrize("language", GOOD)
def test_a_good_translation_is_accepted(shipped: Identifier, language: str) -> None:
    pair = TextPair("Two dogs are playing with a red ball on the grass.", GOOD[language], language)
    assert _verdict(score_pairs([pair], shipped)).reason is None


@pytest.mark.parametrize("language", GOOD)
def test_a_translation_into_another_language_is_not(shipped: Identifier, language: str) -> None:
    source = "Two dogs are playing with a red ball on the grass."
    pairs = [TextPair(source, text, language) for code, text in GOOD.items() if code != language]
    made = verdicts(score_pairs(pairs, shipped), Policy(), load_thresholds(None))
    assert [one.reason.split(":")[0] for one in made if one.reason and not one.accepted] == [
        "script" if set(languages()[code].scripts) != set(languages()[language].scripts) else "lid"
        for code in GOOD
        if code != language
    ]


@pytest.mark.parametrize("language", [item.nllb for item in default_languages() if not item.english])
def test_a_copied_caption_is_rejected_in_every_language(shipped: Identifier, language: str) -> None:
    source = "two dogs are playing with a red ball on the grass"
    made = _verdict(score_pairs([TextPair(source, source, language)], shipped))
    assert made.reason is not None
    assert made.reason.split(":")[0] in {"script", "copy"}


@pytest.mark.parametrize("code", [code for code, one in languages().items() if one.sentence_marks])
def test_every_mark_of_the_registry_ends_a_sentence(code: str) -> None:
    for mark in languages()[code].sentence_marks:
        assert has_end(f"x{mark}”")
