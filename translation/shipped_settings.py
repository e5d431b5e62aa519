"""Settings files by their path, or by the name of one that ships in a package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from translation.settings import unknown
from translation.settings_file import SettingsError, SettingsFile, read_settings_file


def read_named_settings(
    name: str, shipped: Mapping[str, Path], what: str, overrides: Sequence[str] = ()
) -> SettingsFile:
    """As `read_settings_file`, of a file, or of one that ships by its name.

    Paths in one that ships start at the working directory: they are the user's, not the package's.

    Args:
        name: path of a file; where there is none, a key of `shipped`, with `.yaml` or without.
        what: the files that ship are, for the message that lists them.

    Raises:
        SettingsError: as there, or there is neither.
    """
    found = Path(name)
    known = name.removesuffix(".yaml")
    # A folder of the name (of a run, say) is none.
    if not found.is_file() and known in shipped:
        written = read_settings_file(shipped[known], overrides)
        return replace(written, folder=Path().absolute())
    if not found.exists() and found.parent == Path():
        remedy = unknown(known, shipped, f"{what} that ships")
        raise SettingsError(name, None, "", None, f"no such file, and {remedy}")
    return read_settings_file(found, overrides)
