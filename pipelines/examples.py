"""English examples and rejects, as sources yield them."""

from __future__ import annotations

from dataclasses import dataclass

TRUNCATED = "truncated"
"""Short name of the reason when a source breaks off: an unknown number of records was not read."""


@dataclass(frozen=True)
class Text:
    """One English text of an example. `translate` false keeps it in English (`prompt: keep`)."""

    text: str
    translate: bool = True


@dataclass(frozen=True)
class Example:
    """One prompt and one target about one image, in English, before any language is assigned."""

    dataset: str
    """Name of the source in the recipe."""
    source_id: str
    """Unique within the dataset and task: an annotation id, `conversation#turn`, ..."""
    task: str
    """`caption`, `vqa`, `vqg`, `instruct`, ... (see the contract)."""
    image: str | None
    """Where the picture is: an `ImageLocator` string that `pipelines.images` opens; None for text."""
    image_id: str | None
    """Stable id of the picture; splits are by it."""
    prompt: Text | None
    """The question or instruction; None where a template alone makes the prompt (captions)."""
    target: Text

    @property
    def id(self) -> str:
        """Without the language, which the assignment adds."""
        return f"{self.dataset}/{self.source_id}/{self.task}"


@dataclass(frozen=True)
class Reject:
    """A record that is no example. It reaches `rejected/` with its reason."""

    dataset: str
    source_id: str
    """As far as it is known; else `line-17`, `row-3`."""
    task: str
    reason: str
    """Starts with `source:` or `image:`; names file and position."""
    record: str
    """The raw record, cut at 2,000 characters."""
    image_id: str | None = None
