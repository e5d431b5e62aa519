"""How the console scripts end: one line and an exit code, whatever happens."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import pytest

from translation.console import FAILED, CommandParser, complain, exit_with, printable


def test_an_error_of_a_file_that_nobody_expected_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def call() -> int:
        raise OSError(errno.EIO, "Input/output error", "/data/file")

    with pytest.raises(SystemExit) as stopped:
        exit_with("program", call)
    assert stopped.value.code == FAILED
    assert capsys.readouterr().err == "program: /data/file: Input/output error\n"


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_to_end_is_told_as_an_interruption(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)

    def call() -> int:
        os.kill(os.getpid(), number)
        raise AssertionError("unreachable")

    with pytest.raises(SystemExit) as stopped:
        exit_with("program", call, "interrupted; again")
    assert stopped.value.code == 128 + number
    assert capsys.readouterr().err == "program: interrupted; again\n"
    assert signal.getsignal(number) == before


@pytest.mark.usefixtures("default_signals")
def test_a_forked_child_ends_by_a_signal_as_it_would_without(capsys: pytest.CaptureFixture[str]) -> None:
    def call() -> int:
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        return 0

    with pytest.raises(SystemExit) as stopped:
        exit_with("program", call)
    assert stopped.value.code == 0
    assert not capsys.readouterr().err


def test_a_signal_that_is_ignored_stays_so() -> None:
    code = (
        "import os, signal\n"
        "from translation.console import exit_with\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "exit_with('program', lambda: os.kill(os.getpid(), signal.SIGHUP) or 0)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_letters_that_the_terminal_lacks_are_escapes() -> None:
    code = "from translation.console import exit_with\nexit_with('program', lambda: print('größe') or 0)\n"
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "gr\\xf6\\xdfe\n")


def test_what_steers_a_terminal_is_shown_and_text_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    complain("program", "no\x1b[31mdir\x9b \u202etxt.exe")
    assert capsys.readouterr().err == "program: no\\x1b[31mdir\\x9b \\u202etxt.exe\n"
    with pytest.raises(SystemExit):
        CommandParser(prog="program").parse_args(["\x1b[31m"])
    assert "\x1b" not in capsys.readouterr().err
    assert printable("पैकेज\u200d 网 🎉\nline") == "पैकेज\u200d 网 🎉\nline"
