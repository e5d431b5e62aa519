"""The table that `translate-mix model shortlist` ends with."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from pipelines.summary import counted
from translation.shortlists import Shortlist, ShortlistReport


def render_shortlists(report: ShortlistReport, console: Console) -> None:
    """What each language's list holds and changes, and why some have none."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("language")
    for name in ("entries", "texts", "same", "chrF"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("no list", overflow="fold")
    for one in report.lists:
        table.add_row(
            one.language,
            f"{one.tokens:,}" if one.tokens else "-",
            f"{one.texts:,}",
            "" if one.agreement is None else f"{one.agreement:.1%}",
            "" if one.chrf_difference is None else f"{-one.chrf_difference:+.2f}",
            one.refused,
        )
    console.print(table)
    listed = [one for one in report.lists if one.tokens]
    console.print(_summary(listed, report), soft_wrap=True)


def _summary(listed: list[Shortlist], report: ShortlistReport) -> str:
    without = len(report.lists) - len(listed)
    mean = sum(one.tokens for one in listed) / max(len(listed), 1)
    return (
        f"{counted(len(listed), 'language')} with a list, on average {mean:,.0f} of {report.vocabulary:,} "
        f"entries; {counted(without, 'language')} without. same: translations of the sample that a list does "
        "not change; chrF: what it costs, against those with the whole vocabulary."
    )
