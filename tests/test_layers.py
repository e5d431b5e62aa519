"""Arrows between the packages go one way, and building a mix needs neither torch nor transformers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "translation": {"pipelines", "training", "evaluation", "apache_beam"},
    "pipelines": {"training", "evaluation", "torch", "transformers", "datasets"},
    "training": {"pipelines", "evaluation", "apache_beam"},
    "evaluation": {"pipelines", "apache_beam"},
}
"""Package -> what its modules must not import, anywhere."""

MEASURING = ROOT / "pipelines" / "commands" / "measuring.py"
"""The subcommand `evaluate`; `evaluation` is imported there alone, so that nothing else depends on it."""

EXTRAS = {
    *("torch", "transformers", "sentence_transformers", "huggingface_hub", "datasets"),
    *("imagehash", "scipy"),
}
"""What `translation` and `pipelines` import inside functions alone, where the user asked for it."""


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def loaded(path: Path) -> set[str]:
    """What a module imports as soon as it is imported: not within functions or for type checkers."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
        todo += ast.iter_child_nodes(node)
    return found


@pytest.mark.parametrize("package", ["translation", "pipelines"])
def test_extras_are_imported_where_they_are_used(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert not loaded(path) & EXTRAS, path


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_arrows_go_one_way(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        allowed = {"evaluation"} if path == MEASURING else set()
        assert not imports(path) & (FORBIDDEN[package] - allowed), path


def test_the_console_script_loads_evaluation_only_where_it_measures() -> None:
    assert "evaluation" in imports(MEASURING)
    assert "evaluation" not in loaded(MEASURING)


def test_a_mix_is_built_without_torch_and_transformers() -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'transformers', 'datasets'): sys.modules[name] = None\n"
        "import pipelines.cli, pipelines.run, pipelines.show, pipelines.scoring, pipelines.summary\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
