"""Values of recipes: what pydantic checks in each, and errors that pydantic has no words for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from translation.languages import resolve

_Item = TypeVar("_Item")


class Misfit(ValueError):
    """A value that does not fit another one of the same mapping; `key` says which."""

    def __init__(self, key: str, remedy: str) -> None:
        self.key = key
        super().__init__(remedy)


class Section(BaseModel):
    """A mapping of keys in a recipe; the docstrings of its fields stand in `docs/recipes.md`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    def changed(self, key: str) -> bool:
        """Whether a key has another value than its default; a recipe in a manifest names every key."""
        return bool(getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True))


def _language(code: str) -> str:
    return resolve(code).nllb


def _other_language(code: str) -> str:
    language = resolve(code)
    if language.english:
        raise ValueError("English has its own share, `languages.english_share`; take it out of the codes")
    return language.nllb


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ValueError("row ids start with this name: 1 to 64 letters, digits, `.`, `_` or `-`, no `/`")
    return name


def _no_blank(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("must not be empty")
    return text


def not_empty(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """Not pydantic's `min_length`, which counts only the valid items and so reports each mistake twice."""
    if not items:
        raise ValueError("must have at least 1 item")
    return items


def distinct(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """Refuses an item that stands there twice."""
    twice = sorted({str(item) for item in items if items.count(item) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there twice; keep one")
    return items


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


Share = Annotated[float, Field(ge=0, le=1)]
Filled = Annotated[str, AfterValidator(_no_blank)]
Name = Annotated[str, AfterValidator(_name)]
LanguageCode = Annotated[str, AfterValidator(_language)]
OtherLanguageCode = Annotated[str, AfterValidator(_other_language)]
File = Annotated[str, AfterValidator(_no_blank), Place("file")]
"""Path of one file."""
Files = Annotated[str, AfterValidator(_no_blank), Place("files")]
"""Path of a file, or a glob."""
Pictures = Annotated[str, AfterValidator(_no_blank), Place("pictures")]
"""Path of a folder, a tar or zip file, or a glob of such files."""
