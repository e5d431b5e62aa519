"""A plan as people read it, as tables, and as programs do, as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.estimates import Estimate, Rate
from pipelines.images import REFERENCE
from pipelines.planning import Plan
from pipelines.recipe import Recipe
from pipelines.summary import counted, language_name
from translation.languages import ENGLISH
from translation.model import SMALL


def plan_line(plan: Plan) -> str:
    """The plan in one line, for the start of a run."""
    others = len({*plan.rows, *plan.questions} - {ENGLISH})
    english = " and English" if ENGLISH in plan.rows else ""
    return (
        f"plan   {counted(sum(plan.rows.values()), 'row')} of {counted(plan.pictures, 'picture')}, "
        f"{counted(others, 'language')}{english}, "
        f"{counted(sum(plan.texts.values()), 'text')} to translate"
    )


def fruitless(plan: Plan) -> Iterator[str]:
    """A line for each source that gives no row at all: a wrong column or file name looks like that."""
    for source in plan.sources:
        if sum(source.rows.values()) or source.unnamed:
            continue
        if source.rejects:
            why = (source.first_reject or "").removeprefix("source: ")
            told = f"{source.name}: none of {counted(source.rejects, 'record')} can be used"
            yield f"{told}, the first since {why}"
        elif source.left_out:
            yield f"{source.name}: the recipe leaves out all that it has ({source.left_out:,})"
        else:
            yield f"{source.name}: has no records"


def not_held_out(recipe: Recipe, plan: Plan) -> Iterator[str]:
    """A line where the recipe wants a validation split and gets none."""
    if recipe.validation and plan.rows and not plan.held_out:
        there = (
            counted(plan.pictures, "picture") if plan.pictures else counted(sum(plan.rows.values()), "row")
        )
        alone = plan.pictures == 1 or (not plan.pictures and sum(plan.rows.values()) == 1)
        why = "is too few" if alone else "are too few, or too many of them are shown together,"
        yield f"no rows for validation: {there} {why} for `validation: {recipe.validation:g}`"


def render_plan(
    recipe: Recipe, plan: Plan, estimated: Estimate, price: float | None, console: Console
) -> None:
    """Prints a table of the sources, one of the languages, what the run will take, and warnings.

    Args:
        price: of an hour, in any currency.
    """
    console.print(_sources(plan, estimated, console.width), _languages(plan, estimated))
    for line in _totals(recipe, plan, estimated, price):
        console.print(Text(line))
    for line in warnings(recipe, plan, estimated):
        console.print(Text(line, style="yellow"))


def plan_json(recipe: Recipe, plan: Plan, estimated: Estimate, price: float | None) -> dict[str, Any]:
    """Everything that the tables show, and rows, texts and tokens of each source in each language.

    Rows stand under the language of their target. `questions` has those with an English answer again, under
    the language of their question where that is another; texts and tokens are those of the language.
    """
    rate = estimated.rate
    rows = sum(plan.rows.values())
    return {
        "recipe": recipe.name,
        "digest": recipe.digest[:16],
        "sources": [
            {
                "name": source.name,
                "rows": sum(source.rows.values()),
                "share": _share(sum(source.rows.values()), rows),
                "left_out": source.left_out,
                "rejected": source.rejects,
                "unnamed": source.unnamed,
                "pictures": source.pictures,
                "pictures_sampled": of_source.pictures_sampled,
                "pictures_missing": of_source.pictures_missing,
                "texts": sum(source.texts.values()),
                "tokens": sum(of_source.tokens.values()),
                "languages": {
                    code: {
                        "rows": count,
                        "texts": source.texts.get(code, 0),
                        "characters": source.characters.get(code, 0),
                        "tokens": of_source.tokens.get(code, 0),
                    }
                    for code, count in source.rows.items()
                },
                "questions": {
                    code: {
                        "rows": count,
                        "texts": source.texts.get(code, 0),
                        "characters": source.characters.get(code, 0),
                        "tokens": of_source.tokens.get(code, 0),
                    }
                    for code, count in source.questions.items()
                },
            }
            for source, of_source in zip(plan.sources, estimated.sources, strict=True)
        ],
        "languages": {
            code: {
                "rows": count,
                "share": _share(count, rows),
                "texts": plan.texts.get(code, 0),
                "tokens": estimated.tokens.get(code, 0),
                "in_model": code not in estimated.unsupported,
            }
            for code, count in plan.rows.items()
        },
        "questions": {
            code: {
                "rows": count,
                "texts": plan.texts.get(code, 0),
                "tokens": estimated.tokens.get(code, 0),
                "in_model": code not in estimated.unsupported,
            }
            for code, count in plan.questions.items()
        },
        "rows": rows,
        "pictures": plan.pictures,
        "pictures_held_out": plan.held_out,
        "texts": sum(plan.texts.values()),
        "tokens": sum(estimated.tokens.values()),
        "tokens_with_way_back": estimated.work,
        "tokens_per_second": None if rate is None else round(rate.tokens_per_second, 1),
        "rate": None
        if rate is None
        else {
            "measured": rate.device is not None,
            "device": rate.device,
            "threads": rate.threads,
            "gpus": rate.gpus,
            "languages": list(rate.languages),
            "texts": rate.texts,
            "seconds": round(rate.seconds, 2),
        },
        "hours": round(estimated.hours, 4),
        "cost": None if price is None else round(estimated.hours * price, 4),
        "disk_bytes": {"texts": estimated.text_bytes, "pictures": estimated.picture_bytes},
        "warnings": list(warnings(recipe, plan, estimated)),
    }


def warnings(recipe: Recipe, plan: Plan, estimated: Estimate) -> Iterator[str]:
    """What a look at the plan should not miss."""
    if not plan.rows:
        yield "No row will be made of these sources."
    yield from fruitless(plan)
    yield from not_held_out(recipe, plan)
    for source, of_source in zip(plan.sources, estimated.sources, strict=True):
        if of_source.pictures_missing:
            number, sampled = of_source.pictures_missing, of_source.pictures_sampled
            yield f"{source.name}: {number} of {sampled} sampled pictures cannot be used: {of_source.missing}"
        if source.unnamed:
            yield (
                f"{source.name}: {counted(source.unnamed, 'example')} of classes that have no name in any "
                "language of the mix; they will be rejected"
            )
    for name in estimated.unknown_pictures:
        yield f"{name}: pictures are downloaded by the run; the disk that they take is not counted"
    if estimated.unsupported:
        yield (
            f"{counted(len(estimated.unsupported), 'language')} not in this model, rows will be rejected: "
            f"{' '.join(estimated.unsupported)}"
        )
    if recipe.model == SMALL and estimated.rate is not None and estimated.rate.device is not None:
        yield (
            "The rate is that of the small stand-in model; an NLLB model is far slower (translate-mix model "
            "add facebook/nllb-200-distilled-600M)"
        )


def _sources(plan: Plan, estimated: Estimate, width: int) -> Table:
    rows = sum(plan.rows.values())
    made = [sum(source.rows.values()) for source in plan.sources]
    tokens = [sum(source.tokens.values()) for source in estimated.sources]
    columns: list[tuple[str, list[str], str]] = [
        ("rows", [f"{count:,}" for count in made], f"{rows:,}"),
        ("share", [f"{_share(count, rows):.1%}" for count in made], ""),
    ]
    for name, counts in (
        ("left out", [source.left_out for source in plan.sources]),
        ("rejected", [source.rejects for source in plan.sources]),
    ):
        # Most plans have nothing for these.
        if any(counts):
            columns.append((name, [f"{count:,}" for count in counts], f"{sum(counts):,}"))
    columns += [
        ("pictures", [f"{source.pictures:,}" for source in plan.sources], f"{plan.pictures:,}"),
        (
            "texts",
            [f"{sum(source.texts.values()):,}" for source in plan.sources],
            f"{sum(plan.texts.values()):,}",
        ),
        ("tokens", [_about(count) for count in tokens], _about(sum(estimated.tokens.values()))),
    ]
    taken = sum(max(map(len, (name, *cells, footer))) + 1 for name, cells, footer in columns)
    table = _table(padding=0)
    # Names give way to numbers.
    most = max(width - taken - 3, 8)
    table.add_column("source", footer="total", overflow="ellipsis", no_wrap=True, max_width=most)
    for name, _, footer in columns:
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    for index, source in enumerate(plan.sources):
        cells = [cells[index] for _, cells, _ in columns]
        table.add_row(Text(source.name), *cells, style="" if made[index] else "red")
    return table


def _languages(plan: Plan, estimated: Estimate) -> Table:
    """Rows by the language of their target; those with English answers also by that of their question."""
    rows = sum(plan.rows.values())
    codes = [*plan.rows, *(code for code in plan.questions if code not in plan.rows)]
    codes.sort(key=lambda code: (code != ENGLISH, code))
    columns = [
        ("rows", [f"{plan.rows.get(code, 0):,}" for code in codes], f"{rows:,}"),
        ("share", [f"{_share(plan.rows.get(code, 0), rows):.2%}" for code in codes], ""),
    ]
    if plan.questions:
        asked = [f"{plan.questions.get(code, 0):,}" for code in codes]
        columns.append(("questions", asked, f"{sum(plan.questions.values()):,}"))
    columns += [
        ("texts", [f"{plan.texts.get(code, 0):,}" for code in codes], f"{sum(plan.texts.values()):,}"),
        (
            "tokens",
            [_about(estimated.tokens.get(code, 0)) for code in codes],
            _about(sum(estimated.tokens.values())),
        ),
    ]
    table = _table(padding=1)
    table.add_column("code", footer="total", no_wrap=True)
    table.add_column("language", footer=counted(len(codes), "language"), overflow="ellipsis", no_wrap=True)
    for name, _, footer in columns:
        table.add_column(name, footer=footer, justify="right", no_wrap=True)
    for index, code in enumerate(codes):
        cells = [cells[index] for _, cells, _ in columns]
        style = "red" if code in estimated.unsupported else ""
        table.add_row(code, Text(language_name(code)), *cells, style=style)
    return table


def _table(padding: int) -> Table:
    return Table(
        box=box.SIMPLE_HEAD, show_footer=True, pad_edge=False, padding=(0, padding), collapse_padding=True
    )


def _totals(recipe: Recipe, plan: Plan, estimated: Estimate, price: float | None) -> Iterator[str]:
    yield (
        f"{counted(plan.pictures, 'picture')}; {plan.held_out:,} held out for validation, texts without one "
        "included. Rows are counted before duplicates and unreadable pictures are rejected."
    )
    back = {"none": "", "short": ", short texts there and back", "all": ", there and back"}[recipe.round_trip]
    yield (
        f"Texts are distinct ones to translate. Tokens are ≈, by samples of each source: "
        f"{_about(sum(estimated.tokens.values()))} to translate, {_about(estimated.work)} to read{back}."
    )
    if plan.questions:
        yield (
            "Rows stand under the language of their target; `questions` are English answers to questions in "
            "the language."
        )
    rate = estimated.rate
    if rate is None:
        yield "Nothing is to be translated."
    else:
        cost = "" if price is None else f", cost {estimated.hours * price:,.2f} at {price:g} an hour"
        yield f"Translation alone: {_hours(estimated.hours)}{cost}. Rate {_rate(rate)}"
    disk = estimated.text_bytes + estimated.picture_bytes
    where = "without pictures" if recipe.images == REFERENCE else "with pictures"
    yield f"Disk: ≈ {_bytes(disk)} {where}."


def _rate(rate: Rate) -> str:
    speed = f"{rate.tokens_per_second:,.0f} tokens/s"
    if rate.device is None:
        return f"given: {speed}."
    device = f"cpu with {counted(rate.threads, 'thread')}" if rate.device == "cpu" else rate.device
    device = f"{rate.gpus} GPUs" if rate.gpus > 1 else device
    return (
        f"measured here: {speed} on {device} ({counted(rate.texts, 'text')} into "
        f"{', '.join(rate.languages)} in {rate.seconds:.1f} s)."
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _about(number: int) -> str:
    """Three digits: 1.23 M."""
    for unit, name in ((10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k")):
        # Where rounding would show 1000 k it is 1.00 M.
        if number >= 0.9995 * unit:
            value = number / unit
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {name}"
    return str(number)


def _bytes(number: int) -> str:
    return f"{_about(number)}B" if number >= 1000 else f"{number} bytes"


def _hours(hours: float) -> str:
    if hours >= 48:
        return f"≈ {hours:,.0f} hours ({hours / 24:,.1f} days)"
    if hours >= 1:
        return f"≈ {hours:,.1f} hours"
    return (
        f"≈ {hours * 60:,.0f} minutes" if hours >= 1 / 30 else f"≈ {counted(round(hours * 3600), 'second')}"
    )
