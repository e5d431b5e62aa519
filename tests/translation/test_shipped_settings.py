"""Settings files by path or by name: a file of the user comes first; paths of what ships start here."""

from __future__ import annotations

from pathlib import Path

import pytest

from translation.settings_file import SettingsError
from translation.shipped_settings import read_named_settings


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "small.yaml").write_text("key: theirs\n", encoding="utf-8")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return {"small": folder / "small.yaml"}


@pytest.mark.parametrize("name", ["small", "small.yaml"])
def test_a_name_finds_what_ships_and_its_paths_start_here(name: str, shipped: dict[str, Path]) -> None:
    found = read_named_settings(name, shipped, "recipe", ["other=2"])
    assert found.values == {"key": "theirs", "other": 2}
    assert found.folder == Path.cwd()
    assert found.file == str(shipped["small"])


def test_a_file_of_the_name_comes_first_and_a_folder_does_not(shipped: dict[str, Path]) -> None:
    Path("small").mkdir()
    assert read_named_settings("small", shipped, "recipe").values == {"key": "theirs"}
    Path("small.yaml").write_text("key: mine\n", encoding="utf-8")
    assert read_named_settings("small.yaml", shipped, "recipe").values == {"key": "mine"}


def test_neither_is_an_error_that_lists_the_names_and_a_path_is_only_a_path(shipped: dict[str, Path]) -> None:
    with pytest.raises(SettingsError, match=r"^smal.yaml: no such file, .*recipe.*did you mean `small`"):
        read_named_settings("smal.yaml", shipped, "recipe")
    with pytest.raises(SettingsError, match=r"^x/small.yaml: cannot be read"):
        read_named_settings("x/small.yaml", shipped, "recipe")
