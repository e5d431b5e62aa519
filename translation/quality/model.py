"""What a judge is, and how one is named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from translation.filters.pairs import TextPair
from translation.quality.checkpoint import QualityError

__all__ = ["QualityError", "QualityModel", "load_quality"]


class QualityModel(Protocol):
    """Judges how well a translation renders its source; to be called with thousands of pairs at a time."""

    @property
    def name(self) -> str:
        """With digest, and precision where it is not float32, for signatures: `labse-LaBSE-1f0c9a2b`."""

    @property
    def digest(self) -> str:
        """SHA-256 over all files that it read."""

    @property
    def column(self) -> str:
        """The score's name: `similarity`, `metricx` or `comet_kiwi`."""

    @property
    def higher_is_better(self) -> bool:
        """False for `metricx`, which counts errors."""

    def score(self, pairs: Sequence[TextPair]) -> list[float | None]:
        """Per pair its score; None where a side is empty or the pair is longer than the model takes.

        The same pairs in the same call give the same numbers; in other company a pair is padded differently,
        which moves it by rounding errors (1e-6 of the range in float32).
        """


def load_quality(spec: str, device: str = "auto") -> QualityModel:
    """The judge of a spec: `labse`, `metricx` or `comet_kiwi`, then `:` and a directory or a hub name.

    Args:
        spec: `labse` and `metricx` alone name the published models at a fixed revision; `labse:` takes any
            sentence-transformers directory, `metricx:` any MetricX-24, `comet_kiwi:` a converted directory.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, ...

    Raises:
        QualityError: an unknown spec, files that are missing or of another format, no connection, or no extra
            `quality`.
    """
    from translation.quality.comet_kiwi import CometKiwi
    from translation.quality.metricx import MetricX
    from translation.quality.similarity import Similarity

    kind, _, place = spec.partition(":")
    match kind:
        case "labse":
            return Similarity(place or Similarity.PUBLISHED, device)
        case "metricx":
            return MetricX(place or MetricX.PUBLISHED, device)
        case "comet_kiwi":
            return CometKiwi(place, device)
        case _:
            raise QualityError(
                f"quality: unknown judge {spec!r}; give 'labse', 'metricx' or 'comet_kiwi:DIRECTORY'"
                " ('labse:' and 'metricx:' also take a directory or a hub name)"
            )
