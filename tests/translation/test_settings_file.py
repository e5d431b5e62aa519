"""YAML that is hostile or odd is one message, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from translation.settings_file import SettingsError, settings_of


@pytest.mark.parametrize(
    ("value", "line", "message"),
    [
        ("!!bool abc", None, "no valid YAML: a tag does not fit its value"),
        ("!!int ''", None, "no valid YAML: a tag does not fit its value"),
        ("!!timestamp abc", None, "no valid YAML: a tag does not fit its value"),
        ("!!int abc", None, "no valid YAML: invalid literal"),
        (r'"\ud800"', 2, "key: holds half of a surrogate pair"),
        (r'[a, "x\udfff"]', 2, "key.1: holds half of a surrogate pair"),
    ],
)
def test_a_value_that_yaml_takes_and_nothing_else_is_an_error(
    value: str, line: int | None, message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as raised:
        settings_of(f"# settings\nkey: {value}\n".encode(), "mix.yaml", Path())
    assert raised.value.line == line


def test_a_key_of_half_a_surrogate_pair_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"mix.yaml:1: .*half of a surrogate pair"):
        settings_of(rb'"\udc00": 1', "mix.yaml", Path())


def test_merged_keys_that_grow_tenfold_a_line_are_refused() -> None:
    lines = [
        "a0: &a0 {k: v}",
        *(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)),
    ]
    with pytest.raises(SettingsError, match="`<<` brings far too many keys"):
        settings_of("\n".join(lines).encode(), "mix.yaml", Path())
    merged = settings_of(b"a: &a {k: v}\nb: {<<: *a, l: w}\n", "mix.yaml", Path()).values["b"]
    assert merged == {"k": "v", "l": "w"}
