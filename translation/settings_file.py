"""Settings as users write them: YAML and `--set` overrides as plain values, and where each stands.

Recipes, training configurations and evaluation tasks are all read by this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from translation.surrogates import SURROGATE

Key = tuple[str | int, ...]
"""Where a value stands: `('sources', 0, 'path')`, shown as `sources.0.path`."""

_MAX_NODES = 100_000
"""YAML nodes of a file with every alias followed; more is a mistake, or an alias that holds itself."""


class SettingsError(ValueError):
    """A settings file, or a `--set`, is wrong; the message names file, line, key, value and remedy."""

    def __init__(self, file: str, line: int | None, key: str, value: str | None, remedy: str) -> None:
        self.file, self.line, self.key, self.value, self.remedy = file, line, key, value, remedy
        place = file if line is None else f"{file}:{line}"
        found = "" if value is None else f" is {value}"
        super().__init__(f"{place}: {key}{found}: {remedy}" if key else f"{place}: {remedy}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.file, self.line, self.key, self.value, self.remedy)


@dataclass(frozen=True)
class SettingsFile:
    """A settings file as it was written, overrides applied, and where each value came from."""

    file: str = "settings"
    folder: Path = field(default_factory=Path)
    """Absolute folder of the file."""
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[Key, int] = field(default_factory=dict)
    """Line, from 1, of every key and list item."""
    overridden: frozenset[Key] = frozenset()

    def error(self, key: Key, remedy: str, *, show: bool = True) -> SettingsError:
        """The error at `key`; `show` false leaves out the value found there."""
        starts = [key[:length] for length in range(len(key), -1, -1)]
        file, line = self.file, next((self.lines[start] for start in starts if start in self.lines), None)
        inside = any(found[: len(key)] == key for found in self.overridden if key)
        if inside or any(start in self.overridden for start in starts):
            file, line = "--set", None
        return SettingsError(file, line, dotted(key), _shown_at(self.values, key) if show else None, remedy)


def read_settings_file(path: Path, overrides: Sequence[str] = ()) -> SettingsFile:
    """The values of a YAML file with each override `dotted.key=value` (value in YAML) put in, unchecked.

    Raises:
        SettingsError: the file is unreadable, no YAML mapping, has a key twice, or an override does not fit.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise unreadable(str(path), error) from error
    return settings_of(content, str(path), path.absolute().parent, overrides)


def settings_of(content: bytes, file: str, folder: Path, overrides: Sequence[str] = ()) -> SettingsFile:
    """As `read_settings_file`, of what was read already; `file` stands in messages.

    Raises:
        SettingsError: as there.
    """
    values, lines = _parse(_text(content, file), file)
    if values is None:
        values = {}
    if not isinstance(values, dict):
        remedy = "must be a mapping of keys (`name: ...`)"
        raise SettingsError(file, 1, "", None, remedy)
    overridden = frozenset(_override(values, override) for override in overrides)
    return SettingsFile(file, folder, values, lines, overridden)


def unreadable(file: str, error: OSError) -> SettingsError:
    """What to say of a settings file that cannot be read."""
    remedy = f"cannot be read: {error.strerror or error}; name a YAML file"
    return SettingsError(file, None, "", None, remedy)


def override_values(values: Mapping[str, Any], file: str, overrides: Sequence[str]) -> SettingsFile:
    """As `read_settings_file`, of values at hand, such as those in a manifest; `file` stands in messages.

    Raises:
        SettingsError: an override does not fit.
    """
    copy = json.loads(json.dumps(values))
    return SettingsFile(
        file, Path().absolute(), copy, {}, frozenset(_override(copy, one) for one in overrides)
    )


def _text(content: bytes, file: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(
            file, line, "", None, f"no UTF-8 at byte {error.start}; save it as UTF-8"
        ) from error


_SCALARS = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9_]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL", "~nN"),
    ("null", r"", [""]),
    ("merge", r"<<", "<"),
)
"""Tag, pattern and first letters of what is no string without quotes."""


_MERGE = "tag:yaml.org,2002:merge"


@cache
def _loader() -> type[yaml.SafeLoader]:
    """YAML with the scalars of version 1.2, where `no` is Norwegian and not false, and `1e-3` a number."""

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own)

    for tag, pattern, first in _SCALARS:
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"(?:{pattern})\Z"), list(first))
    return Loader


def _parse(text: str, file: str) -> tuple[Any, dict[Key, int]]:
    """The YAML document and the line, from 1, of every key and list item."""
    try:
        node = yaml.compose(text, _loader())
        lines: dict[Key, int] = {}
        if node is not None:
            _walk(node, (), file, lines)
        return yaml.load(text, _loader()), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f" ({error.context})" if error.context else ""
        line = None if mark is None else mark.line + 1
        raise SettingsError(file, line, "", None, f"no valid YAML: {error.problem}{context}") from error
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError(file, None, "", None, f"no valid YAML: {' '.join(str(error).split())}") from error
    except (AttributeError, LookupError) as error:
        # What PyYAML raises for `!!bool maybe`.
        raise SettingsError(file, None, "", None, "no valid YAML: a tag does not fit its value") from error
    except RecursionError as error:
        raise SettingsError(file, None, "", None, "is nested too deeply") from error


def _walk(node: yaml.Node, key: Key, file: str, lines: dict[Key, int]) -> None:
    lines.setdefault(key, node.start_mark.line + 1)
    if len(lines) > _MAX_NODES:
        raise SettingsError(file, None, "", None, "is far too large, or an alias in it holds itself")
    _refuse_surrogates(node, key, file)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*key, index), file, lines)
    elif isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            line = name.start_mark.line + 1
            if name.tag == _MERGE:
                if sum(1 for _ in islice(_merged(value), _MAX_NODES + 1)) > _MAX_NODES:
                    raise SettingsError(file, line, dotted(key), None, "`<<` brings far too many keys")
                continue
            if not isinstance(name, yaml.ScalarNode) or name.tag != "tag:yaml.org,2002:str":
                shown = str(name.value) if isinstance(name, yaml.ScalarNode) else "a list or mapping"
                raise SettingsError(
                    file, line, dotted(key), None, f"the key {shown} is no text; keys are names"
                )
            _refuse_surrogates(name, key, file)
            here = (*key, name.value)
            if here in lines:
                remedy = f"stands here and on line {lines[here]}; keep one"
                raise SettingsError(file, line, dotted(here), None, remedy)
            lines[here] = line
            _walk(value, here, file, lines)


def _merged(node: yaml.Node) -> Iterator[None]:
    """Once for each mapping and key that `<<` brings; what is merged may merge: ten times as much a line."""
    yield None
    for part in node.value if isinstance(node, yaml.SequenceNode) else ():
        yield from _merged(part)
    for name, value in node.value if isinstance(node, yaml.MappingNode) else ():
        yield None
        if name.tag == _MERGE:
            yield from _merged(value)


def _refuse_surrogates(node: yaml.Node, key: Key, file: str) -> None:
    """Settings go through JSON and UTF-8, which have no place for what YAML can write as `\\ud800`."""
    if isinstance(node, yaml.ScalarNode) and SURROGATE.search(node.value):
        line = node.start_mark.line + 1
        raise SettingsError(file, line, dotted(key), None, "holds half of a surrogate pair; leave it out")


def _override(raw: dict[str, Any], override: str) -> Key:
    """Puts one `dotted.key=value` into the values and returns the key."""
    name, equals, written = override.partition("=")
    name = name.strip()
    parts = name.split(".")
    if not equals or not all(parts):
        remedy = f"{override!r} is no `key=value`; for example `--set languages.english_share=0.4`"
        raise SettingsError("--set", None, "", None, remedy)
    value, _ = _parse(written, f"--set {name}")
    here: Any = raw
    key: list[str | int] = []
    for position, part in enumerate(parts):
        last = position == len(parts) - 1
        if isinstance(here, list):
            if not part.isdecimal() or int(part) >= len(here):
                remedy = f"`{part}` is no item of `{dotted(key)}`, which has {len(here)}, counted from 0"
                raise SettingsError("--set", None, name, None, remedy)
            step: str | int = int(part)
        elif isinstance(here, dict):
            step = part
            if not last and here.get(part) is None:
                here[part] = {}
        else:
            remedy = f"`{dotted(key)}` holds {shown(here)}, which has no keys"
            raise SettingsError("--set", None, name, None, remedy)
        key.append(step)
        if last:
            here[step] = value
        else:
            here = here[step]
    return tuple(key)


def split(text: str) -> Key:
    """The key that `dotted` shows as this text."""
    return tuple(int(part) if part.isdecimal() else part for part in text.split("."))


def dotted(key: Sequence[str | int]) -> str:
    """A key as messages and `--set` spell it."""
    return ".".join(map(str, key))


def _shown_at(raw: Any, key: Key) -> str | None:
    """The value at a key as a message shows it; None where nothing stands there."""
    for step in key:
        inside = step in raw if isinstance(raw, dict) else isinstance(raw, list) and step in range(len(raw))
        if not inside:
            return None
        raw = raw[step]
    return shown(raw)


def shown(value: object) -> str:
    if value is None:
        return "empty"
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
