"""The answer table: which candidate wins, how an answer is cut out of its question, and the file."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from translation.answers import (
    CONTEXTS,
    AnswersError,
    Entry,
    Given,
    WantedAnswer,
    checked,
    contexts,
    cut_out,
    format_answers,
    in_context,
    read_answers,
    translate_answers,
)
from translation.filters.pairs import Batch, TextPair
from translation.filters.script import script_share
from translation.languages import default_languages
from translation.translations import Request, Translation

PORTUGUESE = {
    # (text, whole): translation; what a neural model really gave (docs/filters.md).
    ("walking", False): "a pé",
    ("What is he doing? walking.", True): "O que ele está fazendo? andando.",
    ("Is he running? walking.", True): "Ele está correndo? Andando.",
    ("a pé.", True): "on foot.",
    ("andando.", True): "walking.",
    ("right", False): "o direito",
    ("Which side? right.", True): "Qual lado? certo.",
    ("o direito.", True): "the right.",
    ("certo.", True): "right.",
    ("jeep", False): "jeep",
    ("What is it? jeep.", True): "O que é? jipe.",
    ("jeep.", True): "jeep.",
    ("jipe.", True): "jeep.",
    ("graduation cap", False): "barrete",
    ("What is it? graduation cap.", True): "O que é? formatura cap.",
    ("barrete.", True): "bonnet.",
    ("formatura cap.", True): "graduation cap.",
    ("cars", False): "carro",
    ("carro.", True): "car.",
    ("floor", False): "chão",
    ("What is it on? floor.", True): "Em que está",
    ("chão.", True): "ground.",
    ("bat", False): "taco",
    ("What flies? bat.", True): "O que voa? morcego.",
    ("Which animal? bat.", True): "Que animal? morcego.",
    ("A club? bat.", True): "Um taco? bastão.",
    ("taco.", True): "club.",
    ("morcego.", True): "bat.",
    ("bastão.", True): "bat.",
    # Comes back with an end mark only, and without one only.
    ("bench", False): "banco",
    ("banco", True): "bank",
    ("banco.", True): "bench.",
    ("bug", False): "inseto",
    ("inseto", True): "bug",
    ("inseto.", True): "video camera.",
}


def translate(requests: Sequence[Request], whole: bool) -> list[Translation]:
    return [
        Translation(_portuguese(request.text, whole), -0.5, cut_off=False, unknown=False, empty=False)
        for request in requests
    ]


def _portuguese(text: str, whole: bool) -> str:
    if whole and (text, whole) not in PORTUGUESE:
        return PORTUGUESE[f"{text}.", whole].rstrip(".")
    return PORTUGUESE[text, whole]


def entry_of(answer: str, *questions: str, round_trip: bool = True) -> Entry:
    wanted = WantedAnswer("por_Latn", answer, 7, questions)
    (answered,) = translate_answers([wanted], translate, round_trip=round_trip)
    return answered.entry


class TestChoice:
    @pytest.mark.parametrize("answer", ["bench", "bug"])
    def test_the_way_back_may_be_as_a_word_or_as_a_sentence(self, answer: str) -> None:
        entry = entry_of(answer)
        assert (entry.back_translation, entry.round_trip) == (answer, 1)

    def test_the_question_wins_where_its_translation_comes_back_better(self) -> None:
        found = entry_of("walking", "What is he doing?", "Is he running?")
        assert (found.translation, found.back_translation) == ("andando", "walking")
        assert (found.how, found.uses, found.round_trip, found.accepted) == ("context", 7, 1.0, True)

    def test_of_equals_the_answer_alone_wins(self) -> None:
        found = entry_of("right", "Which side?")
        assert (found.how, found.translation, found.round_trip) == ("alone", "o direito", 1.0)

    def test_of_equal_contexts_the_one_that_more_questions_agree_upon_wins(self) -> None:
        for order in itertools.permutations(("A club?", "What flies?", "Which animal?")):
            assert entry_of("bat", *order).translation == "morcego"

    def test_a_copy_that_comes_back_proves_nothing(self) -> None:
        assert entry_of("jeep").translation == "jeep"
        assert entry_of("jeep", "What is it?").translation == "jipe"
        assert entry_of("graduation cap", "What is it?").translation == "barrete"

    def test_another_inflection_is_accepted_with_a_value_of_its_own(self) -> None:
        assert entry_of("cars").round_trip == 0.9
        assert entry_of("cars").accepted

    @pytest.mark.parametrize(
        ("sentence", "word", "code"),
        [
            ("İnek.", "inek", "tur_Latn"),
            ("Işık.", "ışık", "tur_Latn"),
            ("İnək.", "inək", "azj_Latn"),
            ("Isha.", "isha", "uzn_Latn"),
        ],
    )
    def test_the_capital_of_a_sentence_goes_as_the_language_writes_it(
        self, sentence: str, word: str, code: str
    ) -> None:
        def translate(requests: Sequence[Request], whole: bool) -> list[Translation]:
            texts = {"cow": "öküz", word: "cow", "What is it? cow.": f"Bu ne? {sentence}"}
            return [Translation(texts.get(one.text, "ox"), -0.5, False, False, False) for one in requests]

        (found,) = translate_answers([WantedAnswer(code, "cow", 1, ("What is it?",))], translate)
        assert (found.entry.how, found.entry.translation) == ("context", word)

    def test_a_lost_answer_is_no_candidate_and_what_comes_back_wrong_is_not_accepted(self) -> None:
        found = entry_of("floor", "What is it on?")
        assert (found.how, found.round_trip, found.accepted) == ("alone", 0.0, False)

    def test_without_round_trip_the_answer_alone_is_taken(self) -> None:
        found = entry_of("walking", "What is he doing?", round_trip=False)
        assert (found.translation, found.back_translation, found.round_trip) == ("a pé", None, None)
        assert found.accepted

    def test_what_is_checked_or_given_reaches_no_model(self) -> None:
        wanted = [
            WantedAnswer("por_Latn", "Yes", 1),
            WantedAnswer("por_Latn", "12", 1),
            WantedAnswer("por_Latn", "walking", 1, ("What is he doing?",), Given("caminhando", True)),
            WantedAnswer("por_Latn", "floor", 1, (), Given("", False)),
        ]
        entries = [one.entry for one in translate_answers(wanted, translate)]
        assert [(entry.translation, entry.how, entry.accepted) for entry in entries] == [
            ("sim", "checked", True),
            ("12", "checked", True),
            ("caminhando", "given", True),
            ("", "given", False),
        ]
        assert all(entry.round_trip is None for entry in entries)

    def test_entries_come_in_the_order_of_the_answers(self) -> None:
        asked = ["cars", "12", "walking", "yes", "right"]
        answered = translate_answers([WantedAnswer("por_Latn", one, 1) for one in asked], translate)
        assert [one.entry.answer for one in answered] == asked
        assert [one.translation is None for one in answered] == [False, True, False, True, False]


class TestChecked:
    def test_yes_and_no_are_words_of_the_language_itself(self) -> None:
        assert checked("yes", "deu_Latn") == "ja"
        assert checked("No.", "fra_Latn") == "non"
        assert checked("no", "spa_Latn") == "no"
        assert checked("yes", "zho_Hans") == "是"
        assert checked("yes", "lao_Laoo") is None
        assert checked("yes, two", "deu_Latn") is None

    def test_nearly_all_default_languages_have_them(self) -> None:
        known = [one.nllb for one in default_languages() if checked("yes", one.nllb)]
        assert len(known) >= 86
        for code in known:
            assert checked("yes", code) != checked("no", code)

    def test_maybe_is_a_word_in_the_script_of_the_language(self) -> None:
        assert checked("Maybe.", "deu_Latn") == "vielleicht"
        assert checked("maybe", "rus_Cyrl") == "может быть"
        assert checked("maybe", "mya_Mymr") is None
        lines = files("translation").joinpath("maybe.tsv").read_text(encoding="utf-8").splitlines()
        words = dict(line.split("\t") for line in lines[1:])
        assert len(words) == len(lines) - 1 >= 90
        assert set(words) <= {one.nllb for one in default_languages() if not one.english}
        shares = script_share(Batch([TextPair("maybe", word, code) for code, word in words.items()]))
        assert {code for code, share in zip(words, shares, strict=True) if share != 1} == set()
        for code, word in words.items():
            assert checked("maybe", code) == word == unicodedata.normalize("NFC", word.strip())
            assert word not in ("maybe", checked("yes", code), checked("no", code))

    def test_what_is_no_word_stays(self) -> None:
        assert checked("B", "deu_Latn") == "B"
        assert checked("www.adidas.com", "deu_Latn") == "www.adidas.com"
        assert checked("4:30", "hin_Deva") == "4:30"
        assert checked("4 pm", "hin_Deva") is None


class TestContexts:
    @given(st.lists(st.text(max_size=8)), st.integers(0, 20))
    def test_parts_in_any_order_give_the_contexts_of_the_whole(self, questions: list[str], cut: int) -> None:
        whole = contexts(questions)
        parts = contexts(reversed(questions[:cut])), contexts(questions[cut:])
        assert contexts((*parts[1], *parts[0])) == whole
        assert len(whole) == min(CONTEXTS, len(set(questions)))

    def test_question_and_answer_are_one_input(self) -> None:
        assert in_context("What is he doing?", "running") == "What is he doing? running."
        assert in_context(" Name the animal. ", "cat.") == "Name the animal. cat."
        assert in_context("what color", "red") == "what color? red."

    @pytest.mark.parametrize(
        ("output", "language", "answer"),
        [
            ("O que ele está fazendo? correndo.", "por_Latn", "correndo"),
            ("Qual? Não sei? Talvez.", "por_Latn", "Talvez"),
            ("彼は何をしていますか？走っています。", "jpn_Jpan", "走っています"),
            ("ماذا يفعل؟ يركض.", "arb_Arab", "يركض"),
            ("Τι κάνει; τρέχει.", "ell_Grek", "τρέχει"),
            ("Ի՞նչ է սա։ շուն։", "hye_Armn", "շուն"),
            ("यह क्या है? कुत्ता।", "hin_Deva", "कुत्ता"),
            ('Was ist das? "Hund".', "deu_Latn", "Hund"),
            ("Was ist das? - St. Bernhard", "deu_Latn", "St. Bernhard"),
            ("Onde está a tenda?", "por_Latn", None),
            ("correndo", "por_Latn", None),
            ("", "por_Latn", None),
            ("?!", "por_Latn", None),
        ],
    )
    def test_the_answer_is_what_follows_the_last_question_mark(
        self, output: str, language: str, answer: str | None
    ) -> None:
        assert cut_out(output, language) == answer

    @given(st.text(max_size=30), st.sampled_from([one.nllb for one in default_languages()]))
    def test_any_output_can_be_cut(self, output: str, language: str) -> None:
        found = cut_out(output, language)
        assert found is None or (found and found in output)


ENTRIES = (
    Entry("por_Latn", "walking", "andando", "walking", "context", 3, 1.0, True),
    Entry("por_Latn", "a\tb", "c\\d\ne", None, "given", 9, None, True),
    Entry("deu_Latn", "floor", "Boden", "ground", "alone", 1, 0.0, False),
    Entry("deu_Latn", "cars", "Auto", "car", "alone", 1, 0.9, True),
)


class TestFile:
    def test_is_sorted_and_reads_back(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.tsv"
        path.write_text(format_answers(ENTRIES), encoding="utf-8")
        assert path.read_text(encoding="utf-8").splitlines() == [
            "nllb_code\tanswer\ttranslation\tback_translation\thow\tuses\tround_trip\taccepted",
            "deu_Latn\tcars\tAuto\tcar\talone\t1\t0.9\t1",
            "deu_Latn\tfloor\tBoden\tground\talone\t1\t0\t0",
            "por_Latn\ta\\tb\tc\\\\d\\ne\t\tgiven\t9\t\t1",
            "por_Latn\twalking\tandando\twalking\tcontext\t3\t1\t1",
        ]
        assert read_answers(path) == {
            (entry.nllb_code, entry.answer): Given(entry.translation, entry.accepted) for entry in ENTRIES
        }

    @given(
        st.lists(
            st.builds(
                Entry,
                st.sampled_from(["deu_Latn", "jpn_Jpan"]),
                st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
                    lambda text: text.strip() == text
                ),
                st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
                    lambda text: text.strip() == text
                ),
                st.none(),
                st.just("alone"),
                st.integers(1, 9),
                st.none(),
                st.booleans(),
            ),
            unique_by=lambda entry: (entry.nllb_code, entry.answer),
        )
    )
    def test_any_text_survives(self, tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]) -> None:
        path = tmp_path_factory.mktemp("answers") / "answers.tsv"
        path.write_bytes(format_answers(entries).encode())
        assert read_answers(path) == {
            (entry.nllb_code, entry.answer): Given(entry.translation, entry.accepted) for entry in entries
        }

    def test_three_columns_suffice_and_a_spreadsheet_may_have_saved_it(self, tmp_path: Path) -> None:
        path = tmp_path / "answers.tsv"
        path.write_bytes("\ufeffanswer\ttranslation\tnllb_code\r\ndog\tHund\tdeu_Latn\r\n\r\n".encode())
        assert read_answers(path) == {("deu_Latn", "dog"): Given("Hund", True)}

    @pytest.mark.parametrize(
        ("lines", "message"),
        [
            ([], ":1: no column nllb_code, answer, translation"),
            (["nllb_code\tanswer"], ":1: no column translation"),
            (["nllb_code\tanswer\ttranslation\tcolour"], ":1: unknown column 'colour'"),
            (["nllb_code\tanswer\ttranslation\tanswer"], ":1: column 'answer' stands there twice"),
            (["H", "deu_Latn\tdog"], ":2: 2 columns, 4 wanted"),
            (["H", "de\tdog\tHund\t1"], ":2: 'de' is no NLLB code"),
            (["H", "eng_Latn\tdog\tdog\t1"], ":2: 'eng_Latn' is no NLLB code to translate into"),
            (["H", "deu_Latn\t\tHund\t1"], ":2: answer is empty"),
            (["H", "deu_Latn\tdog\t \t1"], ":2: translation is empty"),
            (["H", "deu_Latn\tdog\tHund\tyes"], ":2: accepted is 'yes'"),
            (
                ["H", "deu_Latn\tdog\tHund\t1", "", "deu_Latn\tdog\tKöter\t1"],
                ":4: 'dog' in deu_Latn stands on line 2",
            ),
        ],
    )
    def test_a_wrong_line_is_named(self, tmp_path: Path, lines: list[str], message: str) -> None:
        path = tmp_path / "answers.tsv"
        header = "nllb_code\tanswer\ttranslation\taccepted"
        path.write_text("\n".join(header if line == "H" else line for line in lines), encoding="utf-8")
        with pytest.raises(AnswersError) as error:
            read_answers(path)
        assert f"{path}{message}" in str(error.value)

    def test_a_file_that_is_no_text_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "answers.tsv").write_bytes(b"nllb_code\tanswer\ttranslation\n\xff")
        with pytest.raises(AnswersError, match=":2: no UTF-8"):
            read_answers(tmp_path / "answers.tsv")
        with pytest.raises(AnswersError, match="cannot be read"):
            read_answers(tmp_path / "none.tsv")


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [("red", "deu_Latn", "rot"), ("Blue.", "fra_Latn", "bleu"), ("orange", "spa_Latn", None)],
)
def test_colours_are_checked_where_they_are_nothing_else(answer: str, code: str, text: str | None) -> None:
    assert checked(answer, code) == text
