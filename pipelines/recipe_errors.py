"""The errors of recipes that need their own words: formats of sources, weights, bounds of several types."""

from __future__ import annotations

from typing import Any

from pydantic_core import ErrorDetails

from pipelines.recipe_sources import SOURCES, Source
from translation.settings import Wording, types_of_keys, unknown
from translation.settings_file import Key, SettingsError, SettingsFile


def _special(written: SettingsFile, detail: ErrorDetails, key: Key) -> SettingsError | None:
    if "weights" in key:
        at = key[: key.index("weights") + 1]
        kind, *inside = [step for step in key[len(at) :] if step != "[key]"] or [""]
        if str(kind).startswith(("literal[", "dict[", "function-after")):
            if not inside:
                return written.error(
                    at, "must be `uniform`, `proportional`, or a mapping of codes to numbers"
                )
            told = detail.get("ctx", {}).get("error")
            return written.error(
                (*at, inside[0]), str(told) if isinstance(told, ValueError) else "must be a number"
            )
    if "filters" in key and str(key[-1]).startswith(("float", "literal[")):
        return written.error(key[:-1], "must be a number, `calibrated`, or null to switch the rule off")
    if detail["type"] == "union_tag_not_found":
        return written.error(
            (*key, "format"), f"this key is missing; one of {', '.join(SOURCES)}", show=False
        )
    if detail["type"] == "union_tag_invalid":
        return written.error((*key, "format"), unknown(str(detail["ctx"]["tag"]), SOURCES, "format"))
    return None


def _step(kind: Any, step: str) -> Any:
    """pydantic puts the source's format among the keys."""
    if step in SOURCES and kind is Source:
        return SOURCES[step]
    return Source if step == "sources" else types_of_keys(kind)[step]


def _location(location: tuple[int | str, ...]) -> Key:
    """pydantic puts the source's format after its index; the recipe does not."""
    if len(location) > 2 and location[0] == "sources" and location[2] in SOURCES:
        return (*location[:2], *location[3:])
    return location


RECIPE = Wording(_location, _special, _step)
