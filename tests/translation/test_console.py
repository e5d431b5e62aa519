"""How the console scripts end: one line and an exit code, whatever happens."""

from __future__ import annotations

import errno

import pytest

from translation.console import FAILED, exit_with


def test_an_error_of_a_file_that_nobody_expected_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def call() -> int:
        raise OSError(errno.EIO, "Input/output error", "/data/file")

    with pytest.raises(SystemExit) as stopped:
        exit_with("program", call)
    assert stopped.value.code == FAILED
    assert capsys.readouterr().err == "program: /data/file: Input/output error\n"
