"""A plot of bars with intervals as SVG, without any library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True)
class Bar:
    """One line of a plot."""

    name: str
    value: float | None
    """None draws no bar."""
    low: float | None
    """Of its interval; None draws no whisker."""
    high: float | None


_LINE, _NAME, _WIDTH, _NUMBER, _TOP = 20, 190, 480, 60, 28


def bars(lines: Sequence[Bar], title: str) -> str:
    """Horizontal bars from zero, one a line, as an `<svg>` element that takes its colours from the page."""
    known = [value for bar in lines for value in (bar.value, bar.low, bar.high) if value is not None]
    low, high = min([0.0, *known]), max([0.0, *known])
    step = _step(high - low)
    first, last = math.floor(low / step), max(math.ceil(high / step), math.floor(low / step) + 1)

    def across(value: float) -> float:
        return round(_NAME + _WIDTH * (value / step - first) / (last - first), 1)

    bottom = _TOP + _LINE * len(lines)
    parts = [
        f'<svg class="bars" role="img" viewBox="0 0 {_NAME + _WIDTH + _NUMBER} {bottom + 8}"'
        f' xmlns="http://www.w3.org/2000/svg"><title>{escape(title)}</title>'
    ]
    for tick in range(first, last + 1):
        x = across(tick * step)
        kind = "zero" if tick == 0 else "tick"
        parts.append(f'<line class="{kind}" x1="{x}" x2="{x}" y1="{_TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{x}" y="{_TOP - 12}">{tick * step:g}</text>')
    for place, bar in enumerate(lines):
        parts += _drawn(bar, _TOP + _LINE * place, across)
    return "\n".join((*parts, "</svg>"))


def _drawn(bar: Bar, top: float, across: Callable[[float], float]) -> Iterator[str]:
    middle = top + _LINE / 2
    yield f'<text class="name" x="{_NAME - 6}" y="{middle + 4}">{escape(bar.name)}</text>'
    if bar.value is None:
        yield f'<text class="number" x="{across(0) + 4}" y="{middle + 4}">–</text>'
        return
    left, right = sorted((across(0), across(bar.value)))
    yield f'<rect x="{left}" y="{top + 4}" width="{round(right - left, 1)}" height="{_LINE - 8}"/>'
    if bar.low is not None and bar.high is not None:
        ends = across(bar.low), across(bar.high)
        path = f"M{ends[0]} {middle}H{ends[1]}"
        path += "".join(f"M{end} {middle - 4}v8" for end in ends)
        yield f'<path class="interval" d="{path}"/>'
    # Beside everything that the bar and its whisker cover.
    end = max(right, *(across(value) for value in (bar.low, bar.high) if value is not None), across(0))
    yield f'<text class="number" x="{end + 5}" y="{middle + 4}">{bar.value:.1f}</text>'


def _step(span: float) -> float:
    """The distance of at most six ticks over a span: 1, 2 or 5 times a power of ten."""
    if span <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / 5))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / 5)
