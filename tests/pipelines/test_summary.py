"""The table at the end of a run: complete, true, and readable without a terminal."""

from __future__ import annotations

import io
import json
from dataclasses import asdict

import pytest
from rich.console import Console

from pipelines.summary import LanguageCounts, check_counts, render_summary, total
from translation.languages import default_languages

COUNTS = (
    LanguageCounts("und", 3, 0, 3, {"source": 2, "image": 1}),
    LanguageCounts("swh_Latn", 10, 7, 3, {"round_trip_exact": 2, "lid": 1}),
    LanguageCounts("eng_Latn", 1200, 1200, 0, {}),
    LanguageCounts("smo_Latn", 4, 0, 4, {"language": 4}),
)


def rendered(counts: tuple[LanguageCounts, ...] = COUNTS, directory: str = "out", width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    render_summary(counts, directory, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def cells(text: str, code: str) -> list[str]:
    """The words of one line of the table."""
    (line,) = (line for line in text.splitlines() if line.split()[:1] == [code])
    return line.split()


def test_each_language_has_its_line_with_name_numbers_and_commonest_reason() -> None:
    text = rendered()
    assert cells(text, "swh_Latn") == ["swh_Latn", "Swahili", "10", "7", "3", "round_trip_exact", "2"]
    assert cells(text, "eng_Latn") == ["eng_Latn", "English", "1,200", "1,200", "0"]
    assert cells(text, "und") == ["und", "(unreadable)", "3", "0", "3", "source", "2"]


def test_totals_stand_last_and_unreadable_records_are_no_language() -> None:
    text = rendered()
    assert cells(text, "total") == ["total", "3", "languages", "1,217", "1,207", "10", "language", "4"]
    codes = [line.split()[0] for line in text.splitlines() if line.split()[:1]]
    wanted = ["eng_Latn", "smo_Latn", "swh_Latn", "und", "total"]
    assert [code for code in codes if code in wanted] == wanted


def test_the_check_and_languages_without_rows_are_said() -> None:
    text = rendered()
    assert "1,217 read = 1,207 accepted + 10 rejected" in text
    assert "2 of 3 languages have accepted rows; none: Samoan." in text
    assert "The one language has accepted rows." in rendered(COUNTS[1:2])


def test_what_to_do_next_can_be_copied_whatever_the_path_and_width() -> None:
    directory = "a rather long directory/" * 5 + "it's [red]mine"
    text = rendered(directory=directory, width=60)
    assert f"The mix: {directory}\n" in text
    assert "translate-mix show 'a rather long" in text
    assert f"datasets.load_dataset({directory!r}, 'swh_Latn')\n" in text


def test_rejects_are_pointed_at_only_where_there_are_some() -> None:
    assert "--rejected" in rendered()
    assert "--rejected" not in rendered((COUNTS[2],))


def test_nothing_accepted_gives_no_command_that_would_fail() -> None:
    text = rendered((COUNTS[0], COUNTS[3]))
    assert "load_dataset" not in text
    assert "No row was accepted" in text


def test_questions_of_english_answers_have_a_table_of_their_own() -> None:
    console = Console(file=io.StringIO(), width=80)
    questions = (
        LanguageCounts("swh_Latn", 3, 0, 3, {"lid": 3}),
        LanguageCounts("deu_Latn", 5, 4, 1, {"lid": 1}),
    )
    render_summary(COUNTS[2:3], "out", console, questions)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "8 rows with English answers have questions in other languages" in text
    assert cells(text, "swh_Latn") == ["swh_Latn", "Swahili", "3", "0", "3", "lid", "3"]
    assert "1 of 2 languages have accepted rows; none: Swahili." in text
    assert max(map(len, text.splitlines())) <= 80
    assert "with English answers" not in rendered()


def test_an_empty_mix_is_shown_too() -> None:
    assert "0 read = 0 accepted + 0 rejected" in rendered(())


def test_without_a_terminal_the_text_is_plain() -> None:
    assert "\x1b" not in rendered()


@pytest.mark.parametrize("width", [80, 100])
def test_all_96_languages_take_one_line_each(width: int) -> None:
    counts = tuple(
        LanguageCounts(language.nllb, 20, 11, 9, {"round_trip_exact": 9}) for language in default_languages()
    )
    text = rendered(counts, width=width)
    for count in counts:
        assert cells(text, count.language)[-5:] == ["20", "11", "9", "round_trip_exact", "9"]
    assert max(map(len, text.splitlines()[:100])) <= width


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            LanguageCounts("deu_Latn", 5, 3, 1, {"lid": 1}),
            "deu_Latn: 5 rows read, but 3 accepted and 1 rejected",
        ),
        (LanguageCounts("deu_Latn", 5, 3, 2, {"lid": 1}), "deu_Latn: 2 rows rejected, but reasons for 1"),
        (COUNTS[1], "swh_Latn: counted twice"),
    ],
)
def test_numbers_that_do_not_add_up_are_never_printed(wrong: LanguageCounts, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rendered((*COUNTS, wrong))


def test_counts_survive_json() -> None:
    content = json.loads(json.dumps([asdict(count) for count in COUNTS]))
    assert tuple(LanguageCounts(**count) for count in content) == COUNTS


def test_the_total_is_consistent_and_ties_are_broken_by_name() -> None:
    everything = total(COUNTS)
    check_counts([everything])
    assert LanguageCounts("deu_Latn", 2, 0, 2, {"lid": 1, "copy": 1}).commonest_reason == "copy"
    assert LanguageCounts("deu_Latn", 2, 2, 0, {}).commonest_reason is None


def test_a_mix_far_away_is_loaded_by_its_files() -> None:
    text = rendered(COUNTS, directory="s3://b/mix")
    files = "s3://b/mix/data/swh_Latn/train-*.parquet"
    assert f"Load it:  datasets.load_dataset('parquet', data_files={files!r})\n" in text
