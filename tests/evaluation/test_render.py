"""Tables and plots show every number with its interval, every problem, and what reproduces them."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from evaluation.bars import Bar, bars
from evaluation.compare import compare
from evaluation.predictions import Predictions, Problem
from evaluation.render import comparison_html, comparison_markdown, comparison_text, html, markdown, svg, text
from evaluation.results import Provenance, Result, evaluate, write_result
from tests.evaluation.conftest import item

ITEMS = tuple(
    item("yes" if number % 3 else "no", "yes", language=language, name=str(number))
    for language in ("eng_Latn", "deu_Latn", "yor_Latn")
    for number in range(30)
)
PROBLEMS = (Problem("broken", 2, ("line 3: <b>|`x`</b>", "line 4: y")),)
KNOWN = Provenance("xgqa", checkpoint="a|b <i>", generation={"beams": 5})


@pytest.fixture(scope="module")
def result() -> Result:
    predictions = Predictions(ITEMS, 92, PROBLEMS, "0" * 64)
    return evaluate(predictions, ["exact_match", "fidelity"], KNOWN, resamples=100)[0]


def test_markdown_has_a_row_a_language_and_group(result: Result) -> None:
    shown = markdown(result)
    rows = [line for line in shown.splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows] == [
        "", "---", "German (deu_Latn)", "English (eng_Latn)", "Yoruba (yor_Latn)", "mean, high-resource",
        "mean, low-resource", "mean without English", "all items",
    ]  # fmt: skip
    assert len({row.count("|") for row in rows}) == 1
    estimate = result.metrics[0].languages["deu_Latn"]
    assert f"{estimate.value:.1f} ({estimate.low:.1f} to {estimate.high:.1f})" in rows[2]


def test_markdown_shows_problems_and_signatures(result: Result) -> None:
    shown = markdown(result)
    assert "- 90 items scored, of 92 lines" in shown
    assert r"2 lines that are no JSON object; not scored (line 3: \<b\>\|\`x\`\</b\>, line 4: y)" in shown
    assert "- `exact_match: exact_match|norm:vqa-2|sides:both|rev:1`" in shown
    assert 'generation: {"beams": 5}' in shown
    assert "predictions sha256: " + "0" * 64 in shown
    assert "data sha256: not known" in shown
    assert shown.startswith("# xgqa: a\\|b \\<i\\>\n")


def test_on_a_terminal_columns_are_in_line_and_nothing_is_escaped(result: Result) -> None:
    lines = text(result).splitlines()
    assert lines[0] == "xgqa: a|b <i>"
    start = lines.index("") + 1
    header, rule, *rows = lines[start : lines.index("", start)]
    assert [row[: rule.index("  ")].strip() for row in rows] == [
        "German (deu_Latn)", "English (eng_Latn)", "Yoruba (yor_Latn)", "mean, high-resource",
        "mean, low-resource", "mean without English", "all items",
    ]  # fmt: skip
    assert {len(row) for row in rows} == {len(rule)} == {len(header)}
    assert "2 lines that are no JSON object; not scored (line 3: <b>|`x`</b>, line 4: y)" in lines


def test_html_is_self_contained_and_escaped(result: Result) -> None:
    page = html(result)
    assert "a|b &lt;i&gt;" in page
    assert "<b>" not in page
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org/2000/svg)", page)
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) == len(result.metrics)
    for plot in plots:
        ElementTree.fromstring(plot)
    assert page.count("<td>German (deu_Latn)</td>") == 1


def test_a_comparison_shows_both_sides_and_the_test(tmp_path: Path) -> None:
    worse = tuple(
        item("no", *one.expected.references, language=one.expected.language, name=one.expected.id)
        for one in ITEMS
    )
    for name, items in (("a", ITEMS), ("b", worse[:-1])):
        predictions = Predictions(items, 90, PROBLEMS, "0" * 64)
        write_result(tmp_path / f"{name}.json", *evaluate(predictions, ["exact_match"], KNOWN, resamples=20))
    found = compare(tmp_path / "a.json", tmp_path / "b.json", resamples=50, randomisations=2000)
    shown = comparison_markdown(found)
    row = next(line for line in shown.splitlines() if "German" in line)
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[2:6] == ["30", "exact_match", "66.7", "0.0"]
    assert re.fullmatch(r"-66\.7 \(-\d+\.\d to -\d+\.\d\)", cells[6])
    assert cells[7].endswith("*")
    assert "- 1 items that only the first has; left out" in shown
    assert "first: 2 lines that are no JSON object" in shown
    assert "Holm" in shown
    on_terminal = next(line for line in comparison_text(found).splitlines() if "German" in line)
    assert on_terminal.split()[:6] == ["German", "(deu_Latn)", "30", "exact_match", "66.7", "0.0"]
    page = comparison_html(found)
    ElementTree.fromstring(re.findall(r"<svg.*?</svg>", page, re.DOTALL)[0])


def test_bars_stand_between_zero_and_their_value() -> None:
    plot = ElementTree.fromstring(
        bars([Bar("up", 50, 40, 60), Bar("down", -25, None, None), Bar("<none>", None, None, None)], "a & b")
    )
    svg = "{http://www.w3.org/2000/svg}"
    up, down = plot.findall(f"{svg}rect")
    zero = next(line for line in plot.findall(f"{svg}line") if line.get("class") == "zero")
    assert float(up.get("x", 0)) == float(zero.get("x1", 0))
    assert float(down.get("x", 0)) + float(down.get("width", 0)) == pytest.approx(
        float(zero.get("x1", 0)), abs=0.2
    )
    assert float(up.get("width", 0)) == pytest.approx(2 * float(down.get("width", 0)), abs=0.3)
    names = [text.text for text in plot.findall(f"{svg}text") if text.get("class") == "name"]
    assert names == ["up", "down", "<none>"]
    numbers = [text.text for text in plot.findall(f"{svg}text") if text.get("class") == "number"]
    assert numbers == ["50.0", "-25.0", "–"]
    assert len(plot.findall(f"{svg}path")) == 1


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 0.0], [1e-9], [987.6], [-3.0, -1.0]])
def test_any_values_give_a_plot_with_few_ticks(values: list[float]) -> None:
    plot = ElementTree.fromstring(bars([Bar(str(value), value, value, value) for value in values], "t"))
    ticks = plot.findall("{http://www.w3.org/2000/svg}line")
    assert 2 <= len(ticks) <= 8
    assert sum(tick.get("class") == "zero" for tick in ticks) == 1


def test_a_plot_stands_alone(result: Result) -> None:
    plot = svg(result)
    ElementTree.fromstring(plot)
    assert "exact_match by language" in plot
    assert "--bar: #4a78b5" in plot
    assert "svg.bars rect" in plot
