"""Signatures: one line that says all that decides on a number, in the manner of sacrebleu's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType

from evaluation.items import Item

_FIRST = "1"
_REVISIONS: Mapping[str, str] = MappingProxyType(
    {
        "fidelity": "2",
        "any_match": "2",
        "any_match_published": "2",
        "accuracy": "2",
        "yes_no": "2",
    }
)
"""Of the metrics of this package that have changed; one goes up when a number would be another."""


def signature(metric: str, **settings: object) -> str:
    """`metric|setting:value|…|rev:1`, in the order given; None leaves a setting out."""
    parts = (f"{name}:{value}" for name, value in settings.items() if value is not None)
    return "|".join((metric, *parts, f"rev:{_REVISIONS.get(metric, _FIRST)}"))


def reference_count(items: Sequence[Item]) -> str:
    """How many references the items have, for signatures: `5`, or `var`."""
    counts = {len(item.expected.references) for item in items}
    return str(counts.pop()) if len(counts) == 1 else "var"


@cache
def package_version() -> str:
    """Of the installed distribution; `unknown` in a checkout that was not installed."""
    try:
        return version("translate-mix")
    except PackageNotFoundError:
        return "unknown"
