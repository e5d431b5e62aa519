"""What README and docs/ tell people to type is what the programs take, and what they point at is there."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from evaluation.cli import parser as realign
from pipelines.cli import parser as translate_mix
from pipelines.options import split_arguments
from pipelines.recipe_languages import Languages
from training.configuration import shipped_configurations

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "docker").glob("*.md")])
PARSERS = {"translate-mix": translate_mix, "realign": realign}


def commands(page: Path) -> Iterator[str]:
    """Commands of the console scripts in blocks of a page, without comments."""
    for block in re.findall(
        r"^```bash\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    ):
        for line in block.replace("\\\n", " ").splitlines():
            if line.split(" ")[0] in PARSERS:
                yield line


CASES = [
    pytest.param(command, id=f"{page.name}: {command[:60]}") for page in PAGES for command in commands(page)
]


@pytest.mark.parametrize("command", CASES)
def test_a_command_of_a_page_is_understood(command: str) -> None:
    program, *arguments = shlex.split(command, comments=True)
    parsed, rest = PARSERS[program]().parse_known_args(arguments)
    if (program, parsed.command) == ("translate-mix", "run"):
        # What `run` does not know goes to Beam.
        _, rest = split_arguments(rest)
    assert not rest


def test_there_are_commands_to_check() -> None:
    assert len(CASES) > 30


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wanted = re.findall(r"\]\((?!https?://|#|mailto:)([^)#\s]+)", text) + re.findall(r'src="([^"]+)"', text)
    assert [link for link in wanted if not (page.parent / link).exists()] == []


def test_policies_in_the_how_to_are_policies() -> None:
    text = (ROOT / "docs" / "howto.md").read_text(encoding="utf-8")
    shown = re.findall(r"^languages: .*$", text, re.MULTILINE)
    assert len(shown) >= 4
    for line in shown:
        Languages.model_validate(yaml.safe_load(line)["languages"])


def test_a_wrong_command_would_be_found() -> None:
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        translate_mix().parse_known_args(["refilter"])


@pytest.mark.parametrize(
    ("recipe", "name"), [("gqa", "xgqa"), ("xvnli", "xvnli"), ("marvl", "marvl"), ("flickr30k", "flickr30k")]
)
def test_a_recipe_writes_what_its_fine_tuning_reads(recipe: str, name: str) -> None:
    head = (ROOT / f"recipes/{recipe}.yaml").read_text(encoding="utf-8")
    values = yaml.safe_load((ROOT / f"training/configs/finetune-{name}.yaml").read_text(encoding="utf-8"))
    assert f"--output {values['data']['mixes'][0]}\n" in head
    merged = f"realign merge runs/mblip-mt0-xl --output {values['model']['start']} "
    assert merged in (ROOT / "docs/training.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/tutorial.md"], ids=lambda page: page.name)
def test_a_page_installs_what_its_training_needs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shipped = shipped_configurations()
    trained = set(re.findall(r"realign train ([\w-]+)", text)) & shipped.keys()
    assert trained
    for name in trained:
        if "quantization:" in shipped[name].read_text(encoding="utf-8"):
            assert re.search(r"\.\[[^\]]*quantization", text), name
