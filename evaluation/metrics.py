"""The metrics by the names that task files use."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from evaluation.captions import cider, cider_by_characters, rouge
from evaluation.choices import accuracy, yes_no, yes_no_published
from evaluation.corpus import bleu, chrf, spbleu
from evaluation.exact_match import any_match, any_match_published, exact_match, exact_match_published
from evaluation.fidelity import fidelity
from evaluation.measures import Metric
from evaluation.vqa_accuracy import vqa_accuracy, vqa_accuracy_published

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        "exact_match": exact_match,
        "exact_match_published": exact_match_published,
        "any_match": any_match,
        "any_match_published": any_match_published,
        "vqa_accuracy": vqa_accuracy,
        "vqa_accuracy_published": vqa_accuracy_published,
        "accuracy": accuracy,
        "yes_no": yes_no,
        "yes_no_published": yes_no_published,
        "cider": cider,
        "cider_characters": cider_by_characters,
        "rouge_l": rouge,
        "bleu": bleu,
        "spbleu": spbleu,
        "chrf++": chrf,
        "fidelity": fidelity,
    }
)


class UnknownMetricError(ValueError):
    """A metric that does not exist; the message names the nearest ones."""


def metrics_of(names: Sequence[str]) -> list[Metric]:
    """The metrics of these names.

    Raises:
        UnknownMetricError: there is none of a name, or a name is given twice.
    """
    for place, name in enumerate(names):
        if name in names[:place]:
            raise UnknownMetricError(f"metric {name!r} is named twice")
        if name not in METRICS:
            near = difflib.get_close_matches(name, METRICS, n=2) or list(METRICS)
            raise UnknownMetricError(f"unknown metric {name!r}; did you mean {', '.join(near)}?")
    return [METRICS[name] for name in names]
