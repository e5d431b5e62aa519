"""Clouds on loopback, and the program that runs on them, as its users start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from tests.cloud.servers import BUCKET, CloudStorage, TokenHandler, s3, serving, write_account
from tests.pipelines.conftest import write_recipe

LANGUAGES = ["deu_Latn", "fra_Latn"]


@dataclass(frozen=True)
class Program:
    """`translate-mix` in an environment of its own."""

    environment: Mapping[str, str]
    home: Path

    def with_environment(self, more: Mapping[str, str]) -> Program:
        return Program(dict(self.environment) | dict(more), self.home)

    @property
    def whole_environment(self) -> dict[str, str]:
        taken = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "GOOGLE_", "CLOUD", "STORAGE_", "GCE_"))
            and "proxy" not in name.lower()
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
        own = {
            "HOME": str(self.home),
            "XDG_CACHE_HOME": str(self.home / "cache"),
            "PYTHONPATH": os.pathsep.join(["", *filter(None, sys.path)]).lstrip(os.pathsep),
            "PATH": path,
            "NO_GCE_CHECK": "true",
            "COLUMNS": "200",
        }
        return taken | own | dict(self.environment)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            env=self.whole_environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def evaluate(self, expression: str, imports: str) -> str:
        """What Python prints of an expression, in a process of its own.

        Arrow's clients of stores may hold the interpreter's lock, and the servers are threads here.
        """
        done = subprocess.run(
            [sys.executable, "-c", f"{imports}\nprint({expression})"],
            env=self.whole_environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def call(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs it to its end, which must be with this exit code."""
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            env=self.whole_environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done


def segments_of(mix: Path) -> list[str]:
    return sorted(path.name for path in (mix / "memory").glob("*.parquet"))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    # Tests that a shell runs in the background, and all that they start, would not hear of an interrupt.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return Program({}, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few pictures into two languages."""
    path = write_recipe(tmp_path_factory.mktemp("recipe") / "tiny")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["languages"]["codes"] = LANGUAGES
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def local_mix(program: Program, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process on one machine makes of the recipe."""
    mix = tmp_path_factory.mktemp("local") / "mix"
    program.call("run", str(recipe), "--output", str(mix), "--quiet")
    return mix


@dataclass(frozen=True)
class GoogleCloud:
    """Google Cloud Storage, and the program with an account there."""

    store: CloudStorage
    program: Program
    root: str = field(default=f"gs://{BUCKET}")


@pytest.fixture
def google(program: Program, tmp_path: Path) -> Iterator[GoogleCloud]:
    store, account = CloudStorage(), tmp_path / "account.json"
    with (
        serving(ThreadingHTTPServer(("localhost", 0), TokenHandler)) as tokens,
        store.serve() as address,
    ):
        write_account(account, tokens)
        environment = {
            "GOOGLE_APPLICATION_CREDENTIALS": str(account),
            # Python's client asks for the one, that of C++, which Arrow has, for the other.
            "STORAGE_EMULATOR_HOST": address,
            "CLOUD_STORAGE_EMULATOR_ENDPOINT": address,
        }
        yield GoogleCloud(store, program.with_environment(environment))


@pytest.fixture(scope="session")
def amazon() -> Iterator[dict[str, str]]:
    """Environment of an account at S3."""
    with s3() as environment:
        yield environment


@pytest.fixture
def in_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, str]], None]:
    """Gives this process an account."""

    def set_all(environment: Mapping[str, str]) -> None:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

    return set_all
