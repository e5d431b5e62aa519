"""English examples, rejects and what is left out, as sources yield them."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

TRUNCATED = "truncated"
"""Short name of the reason when a source breaks off: an unknown number of records was not read."""


class Text(msgspec.Struct, frozen=True, gc=False):
    """One English text of an example."""

    text: str
    translate: bool = True
    """False keeps it as it is (`prompt: keep`)."""
    name: str | None = None
    """Key in the source's table of names, which has it in many languages; it is not translated."""
    given: str | None = None
    """The label of `name` in the language that the example got; None before that."""


class Example(msgspec.Struct, frozen=True, gc=False):
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
    """What fills the template's slot: the question, the caption to be judged, ...; None where it has none."""
    target: Text
    second_image: str | None = None
    """Of a statement about two pictures: where the right one is."""
    picture_ids: tuple[str, ...] = ()
    """Of each of its pictures, where `image_id` is of them together."""
    family: str = ""
    """Of the prompt templates; empty where it is the task."""
    language: str | None = None
    """NLLB code of a text that is not English and stays in its language; None for all others."""

    conversation: str | None = None
    """Id, unique as `source_id` is, of the conversation that it is a turn of; None where it is none."""

    @property
    def id(self) -> str:
        """Without the language, which the assignment adds."""
        return f"{self.dataset}/{self.source_id}/{self.task}"

    @property
    def name(self) -> str | None:
        """The key of the names that it is made of, if it is made of names."""
        return self.target.name or (self.prompt.name if self.prompt else None)

    def is_translated(self, text: Text) -> bool:
        """Whether a text of it is translated if it gets another language."""
        return text.translate and self.language is None

    def stays_english(self, text: Text) -> bool:
        """Whether a text of it is English whatever language it gets (`prompt: keep`, `english_answers`)."""
        return not text.translate and text.name is None and self.language is None

    @property
    def stratum(self) -> str:
        """Among what the language policy is exact: one source, one task, the same possible languages."""
        common = f"{self.dataset}/{self.task}"
        return common if self.name is None else f"{common}/{self.name}"


class LeftOut(msgspec.Struct, frozen=True, gc=False):
    """Records that the recipe does not ask for (`where`, `skip_answers`); they are only counted."""

    dataset: str
    records: int = 1


@dataclass(frozen=True, slots=True)
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

    @property
    def id(self) -> str:
        """As an example's; several may have one."""
        return f"{self.dataset}/{self.source_id}/{self.task}"
