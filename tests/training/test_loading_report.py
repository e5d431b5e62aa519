from __future__ import annotations

import json

from training.examples import Skip
from training.loading_report import LISTED, LoadingReport, summed


def report_of(skips: int, examples: int) -> LoadingReport:
    report = LoadingReport(examples=examples, tokens=60, places=80, waited=1.0, worked=3.0)
    for number in range(skips):
        report.skip(Skip(f"row {number}", "broken" if number % 2 else "missing", "why"))
    return report


def test_all_skips_are_counted_and_the_first_are_listed() -> None:
    report = report_of(LISTED + 11, 100)
    assert report.skipped.total() == LISTED + 11
    assert len(report.listed) == LISTED
    assert report.listed[1] == Skip("row 1", "broken", "why")


def test_shares_are_of_what_was_due() -> None:
    report = report_of(25, 75)
    assert (report.skipped_share, report.padding_share, report.wait_share) == (0.25, 0.25, 0.25)
    assert (LoadingReport().skipped_share, LoadingReport().padding_share, LoadingReport().wait_share) == (
        0,
        0,
        0,
    )


def test_a_report_survives_json() -> None:
    report = report_of(3, 10)
    assert LoadingReport.from_state(json.loads(json.dumps(report.as_state()))) == report


def test_reports_of_ranks_are_summed() -> None:
    total = summed([report_of(LISTED, 10), report_of(2, 5)])
    assert (total.examples, total.skipped.total(), len(total.listed)) == (15, LISTED + 2, LISTED)
    assert total.wait_share == 0.25
