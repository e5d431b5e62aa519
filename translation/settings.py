"""What the sections of settings files are made of, and what pydantic finds wrong in them, said for users.

A section is a frozen pydantic model; an error names file, line, key, value and what would be right.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from translation.languages import resolve
from translation.settings_file import Key, SettingsError, SettingsFile, split

_Item = TypeVar("_Item")


_Model = TypeVar("_Model", bound=BaseModel)


class Misfit(ValueError):
    """A value that does not fit another one of the same mapping; `key` says which."""

    def __init__(self, key: str, remedy: str) -> None:
        self.key = key
        super().__init__(remedy)


class Section(BaseModel):
    """A mapping of keys; the docstrings of its fields stand in `docs/`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        use_attribute_docstrings=True,
    )

    def changed(self, key: str) -> bool:
        """Whether a key has another value than its default; settings that were stored name every key."""
        return bool(getattr(self, key) != type(self).model_fields[key].get_default(call_default_factory=True))


def _language(code: str) -> str:
    return resolve(code).nllb


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


Share = Annotated[float, Field(ge=0, le=1)]
Filled = Annotated[str, AfterValidator(_no_blank)]
LanguageCode = Annotated[str, AfterValidator(_language)]


@dataclasses.dataclass(frozen=True)
class Wording:
    """How the errors of one kind of file differ from the general ones."""

    location: Callable[[tuple[int | str, ...]], Key] = tuple
    """pydantic's location of an error -> where the value stands in the file."""
    special: Callable[[SettingsFile, ErrorDetails, Key], SettingsError | None] = lambda *_: None
    """The error of a detail that needs words of its own."""
    step: Callable[[Any, str], Any] = lambda kind, step: types_of_keys(kind)[step]
    """A type, and a key of it -> the type of the key."""


GENERAL = Wording()


def checked(
    model: type[_Model],
    written: SettingsFile,
    wording: Wording = GENERAL,
    values: Mapping[str, Any] | None = None,
) -> _Model:
    """The settings that a file holds.

    Args:
        values: what to check instead of the file's own values, of which they are made.

    Raises:
        SettingsError: a key or value does not fit the model, or is of no type that JSON has.
    """
    # Strict JSON: "4" is no number and `true` no 1, but lists may become tuples.
    try:
        text = json.dumps(written.values if values is None else values)
    except TypeError as error:
        remedy = f"holds a YAML tag that settings do not use ({error})"
        raise SettingsError(written.file, None, "", None, remedy) from error
    try:
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise first_error(written, error.errors(include_url=False), model, wording) from error


def first_error(
    written: SettingsFile, details: Sequence[ErrorDetails], model: type[BaseModel], wording: Wording = GENERAL
) -> SettingsError:
    """The error that stands first in the file, and how many more."""
    # A value may be of several kinds, and a bound of several types: each has an error of its own.
    by_key: dict[str, SettingsError] = {}
    for detail in details:
        error = _error(written, detail, model, wording)
        other = by_key.get(error.key)
        if other is not None and _is_of_kinds(written, detail, wording):
            remedy = f"{other.remedy} or {error.remedy.removeprefix('must be ')}"
            error = SettingsError(error.file, error.line, error.key, error.value, remedy)
        by_key[error.key] = error
    errors = _without_consequences(list(by_key.values()))
    first = min(errors, key=lambda error: (error.line is None, error.line or 0))
    if len(errors) == 1:
        return first
    more = f"{first.remedy} (and {len(errors) - 1} more)"
    return SettingsError(first.file, first.line, first.key, first.value, more)


_QUOTED = re.compile(r"'([^']*)'")
_MISSING, _UNKNOWN = "this key is missing", "unknown key"


def _without_consequences(errors: list[SettingsError]) -> list[SettingsError]:
    """Without the missing keys of mappings that hold an unknown one, which is probably meant, and without
    what is said of a mapping where one of its values is wrong."""
    inner = {error.key for error in errors}
    errors = [one for one in errors if not any(key.startswith(f"{one.key}.") for key in inner)]
    with_unknown = {error.key.rpartition(".")[0] for error in errors if error.remedy.startswith(_UNKNOWN)}
    return [
        error
        for error in errors
        if error.remedy != _MISSING or error.key.rpartition(".")[0] not in with_unknown
    ]


def _place(written: SettingsFile, detail: ErrorDetails, wording: Wording) -> Key:
    """Where the value of an error stands in the file.

    Of a value that may be of several kinds, pydantic puts the kind that it was held against behind its key:
    `targets.literal['all-linear']`.
    """
    key: list[int | str] = []
    value: Any = written.values
    steps = wording.location(detail["loc"])
    for number, step in enumerate(steps):
        last = number + 1 == len(steps)
        inside = isinstance(value, Mapping) and step in value
        inside |= isinstance(value, list) and isinstance(step, int) and step < len(value)
        missing = last and detail["type"] in _OF_MISSING
        if inside:
            value = value[step]
        elif not missing and step != "[key]":
            continue
        key.append(step)
    return tuple(key)


_OF_MISSING = ("missing", "missing_argument")


def _is_of_kinds(written: SettingsFile, detail: ErrorDetails, wording: Wording) -> bool:
    """Whether a value was held against several kinds."""
    return _place(written, detail, wording) != tuple(wording.location(detail["loc"]))


def _error(
    written: SettingsFile, detail: ErrorDetails, model: type[BaseModel], wording: Wording
) -> SettingsError:
    key = _place(written, detail, wording)
    if key[-1:] == ("[key]",):
        # Of a mapping whose keys are checked: pydantic puts this behind the key itself.
        key = key[:-1]
    special = wording.special(written, detail, key)
    if special is not None:
        return special
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return written.error(
            key, unknown(str(key[-1]), _valid_keys(model, detail["loc"][:-1], wording)), show=False
        )
    if kind in _OF_MISSING:
        return written.error(key, _MISSING, show=False)
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


def unknown(found: str, valid: Iterable[str], what: str = "key") -> str:
    """What to say of a name that is none of the valid ones."""
    valid = list(valid)
    near = difflib.get_close_matches(found, valid, n=1, cutoff=0.5)
    meant = f"; did you mean `{near[0]}`?" if near else ""
    return (
        f"unknown {what}{meant} Valid: {', '.join(valid)}"
        if meant
        else f"unknown {what}; valid: {', '.join(valid)}"
    )


def _valid_keys(model: type[BaseModel], location: tuple[int | str, ...], wording: Wording) -> list[str]:
    """The keys of the mapping at an error's location, where that has fixed ones."""
    kind: Any = model
    for step in location:
        # pydantic names the section that one of several kinds of value is.
        if not isinstance(step, int) and step != getattr(kind, "__name__", None):
            kind = wording.step(kind, step)
    return list(types_of_keys(kind))


def types_of_keys(kind: Any) -> Mapping[str, Any]:
    """The keys of a section or dataclass and their types, those of lists and of what may be null bare."""
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return {one.name: hints[one.name] for one in dataclasses.fields(kind)}
    return {name: _bare(one.annotation) for name, one in kind.model_fields.items()}


def _bare(kind: Any) -> Any:
    """The type of a key without null and checks; of a list of sections, the section, also where it may be
    something else that has no keys."""
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        others = [one for one in get_args(kind) if one is not NoneType]
        sections = [one for one in others if isinstance(one, type) and issubclass(one, BaseModel)]
        bare = others if len(others) == 1 else sections
        return _bare(bare[0]) if len(bare) == 1 else kind
    if get_origin(kind) is tuple:
        inner = _bare(get_args(kind)[0])
        return inner if isinstance(inner, type) and issubclass(inner, BaseModel) else kind
    return kind


def _remedy(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """What would be right, from pydantic's own words."""
    if kind == "literal_error":
        names = str(context["expected"]).replace(" or ", ", ")
        return f"must be one of {names}" if len(_QUOTED.findall(names)) > 1 else f"must be {names}"
    if kind in ("model_type", "dataclass_type", "model_attributes_type", "dict_type"):
        return "must be a mapping of keys"
    if kind == "tuple_type":
        return "must be a list: [A, B]"
    return (
        message.replace("Input should be", "must be")
        .replace("a valid integer", "a whole number")
        .replace("a valid ", "a ")
    )
