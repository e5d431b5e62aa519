"""Replays the install steps of a Dockerfile in a fresh virtual environment, where no container engine is.

    python docker/replay.py worker local        # docker/worker.Dockerfile, the stage `local`
    python docker/replay.py trainer

Only what `.dockerignore` lets into the build context and `COPY` takes out of it is there, so a file that
either forgets is found. `RUN` steps that call pip, python or our console scripts run as they are written;
those of the system (users, folders), and files of other images, need an engine: they are named and left out.
In the end the image's command is tried. Parsing is BuildKit's own (package `dockerfile`). Takes minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import string
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dockerfile
from pathspec import GitIgnoreSpec

ROOT = Path(__file__).resolve().parent.parent
OURS = re.compile(r"(if \[|pip|python|translate-mix|realign) ")
"""How a step begins that runs in a virtual environment as in an image."""

_PACKAGES = re.compile(r"/usr/local/lib/python3\.\d+/site-packages")

TRIALS = {
    "worker": (
        "translate-mix languages",
        "translate-mix run --quiet --output mix --set model=opt/model --set languages.codes=[deu_Latn] "
        "--set sources.0.max_rows=20 --set sources.1.max_rows=20 --set sources.2.max_rows=20",
        "translate-mix verify mix",
    ),
    "trainer": ("realign --help", "realign train --help"),
}


class ReplayError(RuntimeError):
    """A step failed, or takes what is not there."""


@dataclass(frozen=True)
class Stage:
    """From one `FROM` to the next."""

    name: str
    base: str
    """An image, or the name of an earlier stage."""
    steps: tuple[dockerfile.Command, ...]


def stages(path: Path) -> dict[str, Stage]:
    """The stages of a Dockerfile by name; a nameless one has its number."""
    found: dict[str, Stage] = {}
    begun: tuple[str, str] | None = None
    steps: list[dockerfile.Command] = []
    for step in dockerfile.parse_file(str(path)):
        if step.cmd.upper() == "FROM":
            if begun:
                found[begun[0]] = Stage(*begun, tuple(steps))
            name = step.value[2] if len(step.value) == 3 else str(len(found))
            begun, steps = (name, step.value[0]), []
        elif begun:
            steps.append(step)
    if begun is None:
        raise ReplayError(f"{path}: no FROM")
    found[begun[0]] = Stage(*begun, tuple(steps))
    return found


def steps_of(path: Path, target: str | None) -> list[dockerfile.Command]:
    """The steps of a stage, the last one without a name, after those of the stages that it is built on."""
    known = stages(path)
    name: str | None = target or list(known)[-1]
    if name not in known:
        raise ReplayError(f"{path}: no stage {name!r}; there are {', '.join(known)}")
    chain: list[Stage] = []
    while name in known:
        chain.insert(0, known[name])
        name = known[name].base
    return [step for stage in chain for step in stage.steps]


def context_files(root: Path) -> Iterator[str]:
    """What `.dockerignore` lets into the build context; its patterns mean the same to git, or must."""
    ignored = GitIgnoreSpec.from_lines((root / ".dockerignore").read_text(encoding="utf-8").splitlines())
    for folder, folders, files in os.walk(root):
        here = Path(folder).relative_to(root)
        folders[:] = [name for name in folders if not ignored.match_file(f"{(here / name).as_posix()}/")]
        for name in files:
            path = (here / name).as_posix()
            if not ignored.match_file(path):
                yield path


def copy(context: Sequence[str], root: Path, sources: Sequence[str], destination: Path, folder: bool) -> None:
    """What COPY does with files and folders of the context.

    Raises:
        ReplayError: a source is not in the context.
    """
    for source in sources:
        name = source.strip("/")
        inside = [path for path in context if path == name or path.startswith(f"{name}/")]
        if not inside:
            raise ReplayError(f"COPY {source}: nothing of that name is in the build context (.dockerignore?)")
        for path in inside:
            if path == name:
                to = destination / Path(path).name if folder else destination
            else:
                to = destination / Path(path).relative_to(name)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / path, to)


class Sandbox:
    """A folder that stands for the file system of the image, and `venv` in it, for its Python."""

    def __init__(self, folder: Path, root: Path, arguments: Mapping[str, str]) -> None:
        self.folder, self.root, self.arguments = folder, root, arguments
        self.context = sorted(context_files(root))
        self.directory = folder / "root"
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
        }
        self.environment["PATH"] = f"{folder / 'venv' / 'bin'}:{os.environ['PATH']}"
        self.left_out: list[str] = []
        self.directory.mkdir()

    def place(self, path: str) -> Path:
        """Where a path of the image is."""
        return self.folder / "root" / path.lstrip("/") if path.startswith("/") else self.directory / path

    def expanded(self, text: str) -> str:
        """With the variables that are set, and packages where they are here."""
        here = self.folder / "venv" / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
        replaced = _PACKAGES.sub(str(here), text)
        return string.Template(replaced).safe_substitute(self.environment)

    def take(self, step: dockerfile.Command) -> None:
        """Does one step.

        Raises:
            ReplayError: it fails, or is of a kind that is not known here.
        """
        kind, value = step.cmd.upper(), step.value
        if kind == "ARG":
            name, _, default = value[0].partition("=")
            self.environment[name] = self.arguments.get(name, default)
        elif kind == "ENV":
            pairs = dict(zip(value[::2], value[1::2], strict=True))
            # A home of the image's user is not here; a cache saves minutes and changes nothing.
            left_out = {"HOME", "PIP_NO_CACHE_DIR"}
            self.environment |= {
                name: self.expanded(text) for name, text in pairs.items() if name not in left_out
            }
        elif kind == "WORKDIR":
            self.directory = self.place(value[0])
            self.directory.mkdir(parents=True, exist_ok=True)
        elif kind == "COPY" and step.flags:
            self.left_out.append(step.original)
        elif kind == "COPY":
            *sources, destination = map(self.expanded, value)
            many = len(sources) > 1 or destination.endswith("/")
            copy(self.context, self.root, sources, self.place(destination), many)
        elif kind == "RUN" and OURS.match(value[0]):
            self.run(value[0])
        elif kind in ("RUN", "USER"):
            self.left_out.append(step.original)
        elif kind not in ("ENTRYPOINT", "CMD"):
            raise ReplayError(f"line {step.start_line}: {kind} cannot be replayed")

    def run(self, command: str) -> None:
        """Runs a command with the shell that RUN has, in the working directory of the image."""
        print(f"+ {' '.join(command.split())}", flush=True)
        began = time.monotonic()
        done = subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=self.directory,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            tail = "\n".join(done.stdout.splitlines()[-30:])
            raise ReplayError(f"`{command}` ended with {done.returncode}:\n{tail}")
        print(f"  {time.monotonic() - began:.1f} s", flush=True)


def unpinned(sandbox: Sandbox) -> list[str]:
    """Packages that were installed without a version in constraints.txt."""
    lines = (sandbox.root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normal(line.partition("==")[0]) for line in lines if "==" in line}
    listed = subprocess.run(
        ["python", "-c", _LIST], env=sandbox.environment, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    own = {"pip", "setuptools", "translate-mix"}
    return [line for line in listed if normal(line.partition("==")[0]) not in pinned | own]


_LIST = """\
from importlib.metadata import distributions
print(*sorted(f"{one.metadata['Name']}=={one.version}" for one in distributions()), sep="\\n")
"""


def normal(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def replay(image: str, target: str | None, arguments: Mapping[str, str], folder: Path) -> None:
    """Installs an image's packages into the environment `venv` in a folder, and tries its command.

    Raises:
        ReplayError: a step fails.
    """
    sandbox = Sandbox(folder, ROOT, arguments)
    for step in steps_of(ROOT / "docker" / f"{image}.Dockerfile", target):
        sandbox.take(step)
    for left_out in sandbox.left_out:
        print(f"not replayed, needs an engine: {' '.join(left_out.split())}")
    if missing := unpinned(sandbox):
        print(f"not in constraints.txt: {', '.join(missing)}")
    # What is tried shall be what was installed, not the folders that it was installed from.
    sandbox.directory = sandbox.folder / "root"
    for trial in TRIALS[image]:
        sandbox.run(trial)


def main() -> None:
    """Parses the command line; exit code 1 if a step fails."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("image", choices=sorted(TRIALS))
    parser.add_argument("target", nargs="?", help="stage of the Dockerfile; default: the last")
    parser.add_argument("--build-arg", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    arguments = dict(argument.split("=", 1) for argument in given.build_arg)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        try:
            venv.create(Path(folder, "venv"), with_pip=True)
            replay(given.image, given.target, arguments, Path(folder))
        except ReplayError as error:
            sys.exit(f"replay of {given.image}: {error}")
    print(f"{given.image}: replayed in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
