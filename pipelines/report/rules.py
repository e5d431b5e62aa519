"""What a rule is called and what it means, for readers who have not read docs/filters.md."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pipelines.examples import TRUNCATED

FLAGS = ("empty", "unknown", "cut_off")
"""Scores that are 0 or 1: a count says all of them."""

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "empty": "Some sentence of the text came back empty.",
        "unknown": "The model made a token that it cannot write, often a character that it does not know.",
        "cut_off": "The text or its translation reached the length limit of the model.",
        "script": "Too few letters are in the script of the language.",
        "copy": "Too much of the English text stands in the translation, names aside.",
        "english": "The text looks more like English than like the language that was wanted.",
        "lid": "Language identification finds another language.",
        "confusable": "Language identification finds a close relative of the language.",
        "repetition": "The text repeats itself, as models do when they are caught in a loop.",
        "length_ratio": "The translation is much shorter or longer than the English text lets expect.",
        "sentences": "Sentences were lost or added.",
        "ending": "The text is short and has lost the mark at its end, as if it had been broken off.",
        "numbers": "Numbers are missing or changed.",
        "placeholders": "A placeholder, URL, tag or piece of code was not kept as it is.",
        "round_trip_exact": "A short text that was translated back is another text.",
        "round_trip_chrf": "A longer text that was translated back shares too little with the English one.",
        "similarity": "Sentence embeddings of text and translation are too far apart.",
        "comet_kiwi": "The trained judge COMETKiwi finds the translation too poor.",
        "metricx": "The trained judge MetricX finds too many errors.",
        "model_score": "The model itself gave its translation too little probability.",
        "language": "The model was not trained on this language, so nothing was translated.",
        "image": "The picture is missing, broken, too large, or of an unknown format.",
        "duplicate": "Another example has the same id, or the same picture, prompt and target.",
        "source": "The record of the source cannot be used as it is.",
        TRUNCATED: "A file of the source breaks off; an unknown number of records is missing.",
        "names": "The class has a name in no language of the mix.",
    }
)
"""Short name of a reason -> one sentence."""

OTHER = "See the reason of the rows below."
"""For a reason that a later version may add."""


def meaning(rule: str) -> str:
    """One sentence about a short reason of rejected rows."""
    return MEANINGS.get(rule, OTHER)
