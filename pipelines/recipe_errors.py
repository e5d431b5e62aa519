"""What pydantic finds wrong in a recipe, said as file, line, key, value and remedy."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from pipelines.recipe_file import Key, RecipeError, RecipeFile, split
from pipelines.recipe_sources import SOURCES, Source
from pipelines.recipe_values import Misfit


def first_error(written: RecipeFile, details: Sequence[ErrorDetails], recipe: type[BaseModel]) -> RecipeError:
    """The error that stands first in the file, and how many more; `recipe` is the model of its keys."""
    # A bound is of several types, each with an error of its own.
    found = (_error(written, detail, recipe) for detail in details)
    errors = list({error.key: error for error in found}.values())
    errors = _without_consequences(errors)
    first = min(errors, key=lambda error: (error.line is None, error.line or 0))
    if len(errors) == 1:
        return first
    more = f"{first.remedy} (and {len(errors) - 1} more)"
    return RecipeError(first.file, first.line, first.key, first.value, more)


_QUOTED = re.compile(r"'([^']*)'")
_MISSING, _UNKNOWN = "this key is missing", "unknown key"


def _without_consequences(errors: list[RecipeError]) -> list[RecipeError]:
    """Without the missing keys of mappings that hold an unknown one, which is probably meant."""
    with_unknown = {error.key.rpartition(".")[0] for error in errors if error.remedy.startswith(_UNKNOWN)}
    return [
        error
        for error in errors
        if error.remedy != _MISSING or error.key.rpartition(".")[0] not in with_unknown
    ]


def _error(written: RecipeFile, detail: ErrorDetails, recipe: type[BaseModel]) -> RecipeError:
    key = _without_tag(detail["loc"])
    if (
        "weights" in key
        and key[-1] != "weights"
        and (str(key[-1]).startswith(("literal[", "dict[", "function-after")) or key[-1] == "[key]")
    ):
        at = key[: key.index("weights") + 1]
        inside = key[len(at) + 1 :]
        if "[key]" in inside and isinstance(detail["ctx"].get("error"), ValueError):
            return written.error((*at, inside[0]), str(detail["ctx"]["error"]))
        if inside:
            return written.error((*at, inside[0]), "must be a number")
        return written.error(at, "must be `uniform`, `proportional`, or a mapping of codes to numbers")
    if "filters" in key and str(key[-1]).startswith(("float", "literal[")):
        return written.error(key[:-1], "must be a number, `calibrated`, or null to switch the rule off")
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return written.error(key, _unknown(str(key[-1]), _valid_keys(recipe, detail["loc"][:-1])), show=False)
    if kind in ("missing", "missing_argument"):
        return written.error(key, _MISSING, show=False)
    if kind == "union_tag_not_found":
        return written.error(
            (*key, "format"), f"this key is missing; one of {', '.join(SOURCES)}", show=False
        )
    if kind == "union_tag_invalid":
        return written.error((*key, "format"), _unknown(str(context["tag"]), SOURCES, "format"))
    cause = context.get("error")
    if isinstance(cause, Misfit):
        return written.error((*key, *split(cause.key)), str(cause))
    if isinstance(cause, ValueError):
        return written.error(key, str(cause))
    remedy = _remedy(kind, detail["msg"], context)
    if kind == "literal_error":
        near = difflib.get_close_matches(str(detail["input"]), _QUOTED.findall(str(context["expected"])), n=1)
        remedy = f"did you mean `{near[0]}`? It {remedy}" if near else remedy
    return written.error(key, remedy)


def _unknown(found: str, valid: Iterable[str], what: str = "key") -> str:
    valid = list(valid)
    near = difflib.get_close_matches(found, valid, n=1, cutoff=0.5)
    meant = f"; did you mean `{near[0]}`?" if near else ""
    return (
        f"unknown {what}{meant} Valid: {', '.join(valid)}"
        if meant
        else f"unknown {what}; valid: {', '.join(valid)}"
    )


def _valid_keys(recipe: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys of the mapping at an error's location, where that has fixed ones."""
    kind: Any = recipe
    for step in location:
        if isinstance(step, int):
            continue
        if step in SOURCES and kind is Source:
            kind = SOURCES[step]
        else:
            kind = Source if step == "sources" else _types_of_keys(kind)[step]
    return list(_types_of_keys(kind))


def _types_of_keys(kind: Any) -> Mapping[str, Any]:
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return {one.name: hints[one.name] for one in dataclasses.fields(kind)}
    return {name: _not_none(one.annotation) for name, one in kind.model_fields.items()}


def _not_none(kind: Any) -> Any:
    """The type of a key that may also be null."""
    if get_origin(kind) in (Union, UnionType):
        others = [one for one in get_args(kind) if one is not NoneType]
        return others[0] if len(others) == 1 else kind
    return kind


def _remedy(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """What would be right, from pydantic's own words."""
    if kind == "literal_error":
        return f"must be one of {str(context['expected']).replace(' or ', ', ')}"
    if kind in ("model_type", "dataclass_type", "model_attributes_type"):
        return "must be a mapping of keys"
    if kind == "tuple_type":
        return "must be a list"
    return (
        message.replace("Input should be", "must be")
        .replace("a valid integer", "a whole number")
        .replace("a valid ", "a ")
    )


def _without_tag(location: tuple[int | str, ...]) -> Key:
    """pydantic puts the source's format after its index; the recipe does not."""
    if len(location) > 2 and location[0] == "sources" and location[2] in SOURCES:
        return (*location[:2], *location[3:])
    return location
