from __future__ import annotations

from dataclasses import asdict

from training.sums import Sums, merged


def some(losses: list[float], tasks: str, languages: str) -> Sums:
    sums = Sums()
    sums.add(losses, [2] * len(losses), list(tasks), list(languages))
    return sums


def test_losses_are_means_over_target_tokens_by_task_and_language() -> None:
    sums = Sums()
    sums.add([6.0, 1.0, 2.0], [3, 1, 2], ["caption", "vqa", "caption"], ["deu_Latn", "deu_Latn", "jpn_Jpan"])
    assert sums.figures() == {
        "loss": 9.0 / 6,
        "loss_by_task": {"caption": 8.0 / 5, "vqa": 1.0},
        "loss_by_language": {"deu_Latn": 7.0 / 4, "jpn_Jpan": 1.0},
    }


def test_sums_of_ranks_are_those_of_one() -> None:
    whole = some([1.0, 2.0, 3.0], "aba", "xxy")
    parts = [some([1.0, 2.0], "ab", "xx"), some([3.0], "a", "y")]
    assert merged(parts).figures() == whole.figures()
    assert Sums(**asdict(merged(parts))) == merged(parts)


def test_nothing_has_no_loss_by_anything() -> None:
    assert Sums().figures() == {"loss": None, "loss_by_task": {}, "loss_by_language": {}}
