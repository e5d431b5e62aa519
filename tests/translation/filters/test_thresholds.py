"""A table of thresholds is text that people can read, check and cut; it is never half understood."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from translation.filters.policy import CALIBRATED, Policy
from translation.filters.thresholds import (
    ANY,
    LENGTHS,
    Threshold,
    Thresholds,
    ThresholdsError,
    default_thresholds,
    length_class,
    load_thresholds,
    parse_thresholds,
)
from translation.identification import load_identifier
from translation.languages import default_languages

OF_IDENTIFIER = {"lid", "confusable", "english"}


def test_length_classes_are_by_words_of_the_source() -> None:
    words = np.array([np.nan, 0, 1, 3, 4, 15, 16, 900], np.float32)
    named = [LENGTHS[index] for index in length_class(words)]
    assert named == ["answer", "answer", "answer", "answer", "caption", "caption", "sentence", "sentence"]


class TestTheTableThatShips:
    def test_was_fitted_for_the_identifier_that_ships(self) -> None:
        assert default_thresholds().identification == load_identifier("shipped").name

    def test_has_a_general_bound_for_every_calibrated_side_of_every_rule(self) -> None:
        for name, rule in Policy().rules():
            for side, bound in vars(rule).items():
                if bound == CALIBRATED:
                    found = default_thresholds().bounds(name, side, ["kea_Latn", "deu_Latn"])
                    assert found is not None
                    lengths = LENGTHS[1:] if name in ("sentences", "ending") else LENGTHS
                    assert not np.isnan(found[:, -len(lengths) :]).any(), name

    def test_no_bound_is_so_strict_that_the_best_text_would_fail(self) -> None:
        best = {"copy": 0, "english": 0, "repetition": 0, "length_ratio": 1, "round_trip_chrf": 100}
        for line in default_thresholds().lines:
            assert line.min is None or line.min <= best.get(line.rule, 1), line
            assert line.max is None or line.max >= best.get(line.rule, 1), line

    def test_every_line_was_fitted_on_texts_but_those_of_the_round_trip(self) -> None:
        for line in default_thresholds().lines:
            if not line.rule.startswith("round_trip"):
                assert line.texts > 0, line
                assert 0 <= line.rejected <= 0.05 or line.texts < 100, line

    def test_most_languages_have_bounds_of_their_own(self) -> None:
        own = {line.nllb_code for line in default_thresholds().lines if line.length == "sentence"} - {ANY}
        assert len(own & {language.nllb for language in default_languages()}) > 80


class TestAnotherIdentifier:
    def test_gets_safe_bounds_for_its_scores_alone(self) -> None:
        fitted = default_thresholds()
        assert fitted.for_identification(fitted.identification) is fitted
        other = fitted.for_identification("cld2-1+cld3-2")
        assert other.identification == "cld2-1+cld3-2"
        assert other.digest != fitted.digest
        assert [line for line in other.lines if line.rule not in OF_IDENTIFIER] == [
            line for line in fitted.lines if line.rule not in OF_IDENTIFIER
        ]
        own = [line for line in other.lines if line.rule in OF_IDENTIFIER]
        assert {line.nllb_code for line in own} == {ANY}
        assert {line.rule for line in own} == OF_IDENTIFIER
        for code in ("deu_Latn", "kea_Latn"):
            for rule, side, bound in (
                ("lid", "min", 0.5),
                ("confusable", "min", 0.3),
                ("english", "max", 0.5),
            ):
                found = other.bounds(rule, side, [code])
                assert found is not None
                assert found.tolist() == [[pytest.approx(bound)] * 3]

    def test_can_be_written_and_read(self) -> None:
        other = default_thresholds().for_identification("glot lid-3")
        assert parse_thresholds(other.text(), "t.tsv") == other


def number(low: float, high: float) -> st.SearchStrategy[float]:
    """As `calibrate` writes them: of 4 digits."""
    return st.floats(low, high).map(lambda value: float(f"{value:.4g}"))


lines = st.builds(
    Threshold,
    st.sampled_from([ANY, "deu_Latn", "zho_Hans", "kea_Latn"]),
    st.sampled_from(LENGTHS),
    st.sampled_from(["lid", "copy", "length_ratio"]),
    st.none() | number(-5, 100),
    st.none() | number(-5, 100),
    st.integers(0, 10**9),
    st.floats(0, 1).map(lambda share: round(share, 5)),
)


@settings(deadline=None, max_examples=20)
@given(st.lists(lines, max_size=8), st.sampled_from(["fasttext-shipped-0a1b", "cld2-0.42+cld3-3.1.0", "a b"]))
def test_a_table_that_is_written_and_read_is_the_same(found: list[Threshold], name: str) -> None:
    table = Thresholds(name, (*default_thresholds().lines, *found))
    again = parse_thresholds(table.text(), "t.tsv")
    assert again == table
    assert (again.text(), again.digest) == (table.text(), table.digest)


def test_the_digest_names_the_bounds() -> None:
    table = default_thresholds()
    assert len(table.digest) == 16
    assert Thresholds(table.identification, table.lines[:-1]).digest != table.digest


class TestReading:
    def test_a_file_or_what_ships(self, tmp_path: Path) -> None:
        path = tmp_path / "t.tsv"
        path.write_text(default_thresholds().text(), encoding="utf-8")
        assert load_thresholds(path) == load_thresholds(None) == default_thresholds()

    def test_lines_may_end_in_cr_lf(self) -> None:
        assert (
            parse_thresholds(default_thresholds().text().replace("\n", "\r\n"), "t") == default_thresholds()
        )

    def test_a_missing_file_and_one_of_another_encoding_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(ThresholdsError, match=r"cannot read .*none\.tsv \(.*No such file"):
            load_thresholds(tmp_path / "none.tsv")
        (tmp_path / "latin.tsv").write_bytes("# identification: é\n".encode("latin-1"))
        with pytest.raises(ThresholdsError, match=r"cannot read .*latin\.tsv"):
            load_thresholds(tmp_path / "latin.tsv")

    @pytest.mark.parametrize("rule", ["script", "lid", "numbers", "ending", "round_trip_chrf"])
    def test_a_cut_table_names_the_rule(self, rule: str) -> None:
        text = default_thresholds().text()
        lines = [line for line in text.splitlines() if f"\t{rule}\t" not in line]
        with pytest.raises(
            ThresholdsError, match=rf"^t\.tsv: no bound of {rule} for '\*'.* was the table cut\?"
        ):
            parse_thresholds("\n".join(lines), "t.tsv")

    def test_a_table_cut_after_any_of_its_first_lines_is_refused(self) -> None:
        lines = default_thresholds().text().splitlines()
        general = sum(line.startswith(f"{ANY}\t") for line in lines)
        for count in range(2 + general):
            with pytest.raises(ThresholdsError):
                parse_thresholds("\n".join(lines[:count]), "t.tsv")
        parse_thresholds("\n".join(lines[: 2 + general]), "t.tsv")

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("*\tanswer\tscript\t", "xx_Xxxx\tanswer\tscript\t", "line 3: nllb_code 'xx_Xxxx' is not known"),
            ("*\tanswer\tscript\t", "*\tword\tscript\t", "line 3: length 'word'; one of answer, caption"),
            ("*\tanswer\tscript\t", "*\tanswer\tscript\thalf", "line 3: could not convert string to float"),
            (
                "*\tanswer\tscript\t",
                "*\tanswer\tscript\tnan\t\t9\t0\n*\tanswer\tscript\t",
                "line 3: nan is no bound",
            ),
            ("*\tanswer\tscript\t", "*\tanswer\tscript\t\t", "line 3: 8 columns, 7 wanted"),
            ("nllb_code\t", "language\t", "must name the columns nllb_code, length, rule, min, max"),
        ],
    )
    def test_what_is_wrong_is_named(self, old: str, new: str, message: str) -> None:
        text = default_thresholds().text()
        assert old in text
        with pytest.raises(ThresholdsError, match=message) as caught:
            parse_thresholds(text.replace(old, new, 1), "t.tsv")
        assert str(caught.value).startswith("t.tsv: ")

    def test_an_empty_file_is_no_table(self) -> None:
        with pytest.raises(ThresholdsError, match="must name the columns"):
            parse_thresholds("", "t.tsv")


class TestBounds:
    TABLE = Thresholds(
        "x",
        (
            Threshold(ANY, "caption", "lid", 0.4, None, 1, 0.0),
            Threshold("deu_Latn", "caption", "lid", 0.6, None, 1, 0.0),
            Threshold("deu_Latn", "sentence", "lid", 0.7, None, 1, 0.0),
        ),
    )

    def test_a_row_a_code_and_a_column_a_length(self) -> None:
        found = self.TABLE.bounds("lid", "min", ["fra_Latn", "deu_Latn"])
        wanted = np.array([[np.nan, 0.4, np.nan], [np.nan, 0.6, 0.7]], np.float32)
        np.testing.assert_array_equal(found, wanted)
        assert found is not None
        assert found.dtype == np.float32

    def test_none_for_a_side_or_rule_without_bounds_and_no_rows_for_no_codes(self) -> None:
        assert self.TABLE.bounds("lid", "max", ["deu_Latn"]) is None
        assert self.TABLE.bounds("copy", "max", ["deu_Latn"]) is None
        empty = self.TABLE.bounds("lid", "min", [])
        assert empty is not None
        assert empty.shape == (0, 3)
