"""Classes of pictures: naming them, and telling whether a name is right."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.examples import Example, Text
from pipelines.hashing import fraction
from pipelines.names import NameTable
from pipelines.recipe_sources import Source
from pipelines.records import Classified
from pipelines.tasks.judgements import NO, YES
from translation.languages import ENGLISH


class Classes:
    """The classes of one source; their names come from its table, in every language that this has."""

    def __init__(self, source: Source, seed: int, names: NameTable) -> None:
        self._source, self._seed, self._names = source, seed, names
        self._keys = names.keys()
        self._positions = {key: position for position, key in enumerate(self._keys)}

    def naming(self, record: Classified) -> Iterator[Example]:
        """The name of the class as target."""
        yield self._example(record, "classify", None, self._name(record.name))

    def yes_no(self, record: Classified) -> Iterator[Example]:
        """Whether the picture shows what a name says: that of its class, or, in a share, of another one."""
        key = f"{self._source.name}/{record.source_id}"
        false = fraction(self._seed, "negative", key) < self._source.negatives
        other = self._other(record.name, key) if false else None
        shown = self._name(other or record.name)
        yield self._example(record, "classify_yes_no", shown, Text(NO if other else YES))

    def _name(self, name: str) -> Text:
        return Text(self._names.labels[name][ENGLISH], translate=False, name=name)

    def _other(self, name: str, key: str) -> str | None:
        """A class that a picture of the right one does not show too; None if there is none.

        All are as likely, but those that follow one that it may show.
        """
        number = len(self._keys)
        # From the right class on: that itself is never drawn, so that the next one is not drawn for it.
        start = self._positions[name] + 1 + int(fraction(self._seed, "other class", key) * (number - 1))
        for step in range(number):
            other = self._keys[(start + step) % number]
            if not self._names.alike(name, other):
                return other
        return None

    def _example(self, record: Classified, task: str, prompt: Text | None, target: Text) -> Example:
        return Example(
            dataset=self._source.name,
            source_id=record.source_id,
            task=task,
            image=record.picture.locator,
            image_id=record.picture.image_id,
            prompt=prompt,
            target=target,
        )
