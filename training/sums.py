"""What a line of figures is made of: losses by task and language, summed over steps and ranks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

BY = ("task", "language")


@dataclass
class Sums:
    """Sums of one rank, or of all."""

    loss: float = 0.0
    """Of all target tokens, in nats."""
    targets: int = 0
    """Tokens that a loss was taken of."""
    examples: int = 0
    by: dict[str, dict[str, list[float]]] = field(default_factory=lambda: {name: {} for name in BY})
    """`task` or `language` -> its name -> loss, targets."""

    def add(
        self, losses: Sequence[float], targets: Sequence[int], tasks: Sequence[str], languages: Sequence[str]
    ) -> None:
        """Adds N examples: the sum of each one's losses, and how many targets it has."""
        self.examples += len(losses)
        for loss, count, *names in zip(losses, targets, tasks, languages, strict=True):
            self.loss += loss
            self.targets += count
            for kind, name in zip(BY, names, strict=True):
                entry = self.by[kind].setdefault(name, [0.0, 0])
                entry[0] += loss
                entry[1] += count

    def figures(self) -> dict[str, Any]:
        """Mean loss per target token, whole and by task and language."""
        named = {
            f"loss_by_{kind}": {
                name: loss / targets for name, (loss, targets) in sorted(found.items()) if targets
            }
            for kind, found in self.by.items()
        }
        return {"loss": self.loss / self.targets if self.targets else None, **named}


def merged(sums: Iterable[Sums]) -> Sums:
    """The sums of several ranks, added in their order."""
    total = Sums()
    for one in sums:
        for name in ("loss", "targets", "examples"):
            setattr(total, name, getattr(total, name) + getattr(one, name))
        for kind, found in one.by.items():
            for name, (loss, targets) in found.items():
                entry = total.by[kind].setdefault(name, [0.0, 0])
                entry[0] += loss
                entry[1] += targets
    return total
