"""What a loader has handed out and left out, as numbers that can be stored with a checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from training.examples import Skip

LISTED = 50
"""Left out examples that are listed one by one; all are counted."""


@dataclass
class LoadingReport:
    """Counts of one rank since training began."""

    batches: int = 0
    examples: int = 0
    pictures: int = 0
    tokens: int = 0
    """Of prompts and targets."""
    places: int = 0
    """Tokens with padding."""
    prompts_cut: int = 0
    targets_cut: int = 0
    batches_repeated: int = 0
    """Handed out in place of one in which nothing was readable."""
    batches_left_out: int = 0
    """At the ends of epochs, so that every rank has equally many."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Reason -> examples."""
    listed: list[Skip] = field(default_factory=list)
    """The first of them."""
    waited: float = 0.0
    """Seconds that training waited for batches."""
    worked: float = 0.0
    """Seconds between batches."""

    def skip(self, skip: Skip) -> None:
        """Counts an example that is left out."""
        self.skipped[skip.reason] += 1
        if len(self.listed) < LISTED:
            self.listed.append(skip)

    @property
    def skipped_share(self) -> float:
        """Of the examples that were due."""
        skipped = self.skipped.total()
        return skipped / max(1, skipped + self.examples)

    @property
    def padding_share(self) -> float:
        """Of the text tokens that the model computes."""
        return 1 - self.tokens / self.places if self.places else 0.0

    @property
    def wait_share(self) -> float:
        """Of the time since the first batch was asked for."""
        return self.waited / max(1e-9, self.waited + self.worked)

    def as_state(self) -> dict[str, Any]:
        """Plain numbers, texts, lists and dicts."""
        state = asdict(self)
        state["skipped"] = dict(self.skipped)
        return state

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> LoadingReport:
        """What `as_state` was made of."""
        values = dict(state)
        values["skipped"] = Counter(values["skipped"])
        values["listed"] = [Skip(**one) for one in values["listed"]]
        return cls(**values)


def summed(reports: Iterable[LoadingReport]) -> LoadingReport:
    """The counts of several ranks; seconds are summed too, which leaves shares of time as they are."""
    total = LoadingReport()
    for report in reports:
        for entry in fields(LoadingReport):
            if entry.name == "listed":
                total.listed = (total.listed + report.listed)[:LISTED]
            else:
                setattr(total, entry.name, getattr(total, entry.name) + getattr(report, entry.name))
    return total
