"""The reference of commands, made from their parsers."""

from __future__ import annotations

import pytest

from scripts.command_docs import PAGE, page


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run python -m scripts.command_docs"


@pytest.mark.parametrize(
    "line",
    [
        "### `translate-mix run [RECIPE.yaml] --output DIR`",
        "### `translate-mix model add MODEL`",
        "### `realign evaluate [CHECKPOINT] TASK.yaml ... --output FILE.json`",
        "| `--set KEY=VALUE` | change a key of the recipe |",
        "| `--device auto\\|cpu\\|cuda` | GPUs if they work |",
    ],
)
def test_commands_of_groups_and_their_options_stand_in_it(line: str) -> None:
    assert line in page().splitlines()


def test_no_option_is_without_a_word_of_what_it_does() -> None:
    assert [line for line in page().splitlines() if line.startswith("| `--") and line.endswith("|  |")] == []
