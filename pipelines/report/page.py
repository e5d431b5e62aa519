"""The page of a report, laid out by the templates beside this module."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from pipelines.report.bounds import Limit
from pipelines.report.cautions import cautions
from pipelines.report.content import Content
from pipelines.report.histograms import HALF, WIDTH, Histogram
from pipelines.report.rules import meaning
from pipelines.summary import language_name

_NOTHING = "–"
_LETTER = 5.0
"""How wide a letter is, in the units of a plot."""


def page(content: Content) -> str:
    """A report as one HTML page that needs nothing else."""
    script = _file("report.js")
    return _template().render(
        content=content,
        manifest=content.manifest,
        signature=content.manifest.signature,
        cautions=list(cautions(content)),
        recipe=json.dumps(content.manifest.recipe, ensure_ascii=False, indent=1),
        style=Markup(_file("report.css")),
        script=Markup(script),
        # Nothing that stands in a mix can run or be fetched, even if it got into the page as markup.
        script_digest="sha256-" + b64encode(sha256(script.encode()).digest()).decode("ascii"),
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(str(files("pipelines.report"))),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": _number,
        "percent": _percent,
        "figure": _figure,
        "meaning": meaning,
        "name": language_name,
    }
    environment.globals |= {"WIDTH": WIDTH, "HALF": HALF, "labels": _labels}
    return environment.get_template("report.html.j2")


def _file(name: str) -> str:
    return files("pipelines.report").joinpath(name).read_text(encoding="utf-8").strip()


def _labels(histogram: Histogram, limits: Sequence[Limit]) -> list[tuple[float, str]]:
    """Where the first letters of length classes stand above their bounds; close ones stand together."""
    letters = sorted(
        (histogram.across(limit.value), "".join(length[0] for length in limit.lengths))
        for limit in limits
        if not limit.everywhere
    )
    groups: list[list[tuple[float, str]]] = []
    for place, text in letters:
        if groups and place - groups[-1][-1][0] < _LETTER * (1 + len(groups[-1][-1][1])) / 2:
            groups[-1].append((place, text))
        else:
            groups.append([(place, text)])
    found = []
    for group in groups:
        middle = sum(place for place, _ in group) / len(group)
        found.append(
            (round(min(max(middle, _LETTER), WIDTH - _LETTER), 1), "".join(text for _, text in group))
        )
    return found


def _number(value: int) -> str:
    return f"{value:,}"


def _percent(value: float | None, digits: int = 1) -> str:
    """Of a share of 1."""
    if value is None:
        return _NOTHING
    # What is not all, or not nothing, must not be rounded to it.
    least = 10.0 ** -(digits + 2)
    if 0 < value < least:
        return f"<{least:.{digits}%}"
    if 1 - least < value < 1:
        return f">{1 - least:.{digits}%}"
    return f"{value:.{digits}%}"


def _figure(value: float | None) -> str:
    """A score with as many digits as one reads."""
    if value is None:
        return _NOTHING
    text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
    return text.replace("-0.00", "0.00").replace("-", "\N{MINUS SIGN}")
