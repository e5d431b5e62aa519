"""Values of recipes: what pydantic checks in each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import AfterValidator

from translation.languages import resolve
from translation.settings import Filled, Section


def _other_language(code: str) -> str:
    language = resolve(code)
    if language.english:
        raise ValueError("English has its own share, `languages.english_share`; take it out of the codes")
    return language.nllb


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ValueError(
            "files and row ids are named by it: 1 to 64 letters, digits, `.`, `_` or `-`, no blank or `/`"
        )
    return name


@dataclass(frozen=True)
class Place:
    """Marks a field that names something on disk, which a recipe's check looks for."""

    kind: Literal["file", "files", "pictures"]


def places_of(section: type[Section]) -> dict[str, Place]:
    """The keys of a section that name something on disk."""
    hints = get_type_hints(section, include_extras=True)
    found = {key: next(_places(hints[key]), None) for key in section.model_fields}
    return {key: place for key, place in found.items() if place is not None}


def _places(hint: Any) -> Iterator[Place]:
    for part in (*getattr(hint, "__metadata__", ()), *get_args(hint)):
        if isinstance(part, Place):
            yield part
        elif get_args(part):
            yield from _places(part)


Name = Annotated[str, AfterValidator(_name)]
OtherLanguageCode = Annotated[str, AfterValidator(_other_language)]
File = Annotated[Filled, Place("file")]
"""Path of one file."""
Files = Annotated[Filled, Place("files")]
"""Path of a file, or a glob."""
Pictures = Annotated[Filled, Place("pictures")]
"""Path of a folder, a tar or zip file, or a glob of such files."""
