"""Tasks: each makes English examples of what a source says about a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from pipelines.examples import Example, LeftOut, Reject
from pipelines.names import NameTable
from pipelines.recipe_sources import Source
from pipelines.records import Asked, Captioned, Classified, Entailed, Record, Stated, Talk, Written
from pipelines.tasks import classify, conversations, judgements, matching, questions, texts

__all__ = ["RECORDS_OF_TASKS", "examples_of"]

RECORDS_OF_TASKS: Mapping[str, type[Record]] = MappingProxyType(
    {
        "caption": Captioned,
        "matching": Captioned,
        "vqa": Asked,
        "vqg": Asked,
        "reason": Asked,
        "instruct": Talk,
        "classify": Classified,
        "classify_yes_no": Classified,
        "statement": Stated,
        "entailment": Entailed,
        "text": Written,
    }
)
"""Task -> what it needs to know. A record serves every task of its source that is made of its kind."""

_Maker = Callable[..., Iterator[Example | Reject]]

_MAKERS: Mapping[str, _Maker] = MappingProxyType(
    {
        "caption": texts.captions,
        "vqa": questions.vqa,
        "vqg": questions.vqg,
        "reason": questions.reason,
        "instruct": conversations.instruct,
        "statement": judgements.statement,
        "entailment": judgements.entailment,
        "text": texts.continuation,
    }
)


def examples_of(
    source: Source, records: Iterable[Record | Reject | LeftOut], seed: int, names: NameTable | None = None
) -> Iterator[Example | Reject | LeftOut]:
    """The examples of a piece of a source, for all its tasks; rejects and what is left out pass through.

    Args:
        records: in the order of the file. Negatives for matching are found among those of the same piece, so
            the examples depend on how files are cut into pieces, but not on workers.
        names: of the classes, for a source of those.

    Raises:
        ValueError: a record is of a kind that no task of the source is made of.
    """
    makers = [_maker(task, source, seed, names) for task in source.tasks if task != "matching"]
    kinds = [RECORDS_OF_TASKS[task] for task in source.tasks if task != "matching"]
    matcher = matching.Matcher(source, seed) if "matching" in source.tasks else None
    for record in records:
        if isinstance(record, Reject | LeftOut):
            yield record
            continue
        served = False
        for kind, make in zip(kinds, makers, strict=True):
            if isinstance(record, kind):
                served = True
                yield from make(record)
        if matcher is not None and isinstance(record, Captioned):
            served = True
            yield from matcher.add(record)
        if not served:
            raise ValueError(
                f"source {source.name!r}: none of its tasks ({', '.join(source.tasks)}) is made of a "
                f"{type(record).__name__}"
            )
    if matcher is not None:
        yield from matcher.finish()


def _maker(
    task: str, source: Source, seed: int, names: NameTable | None
) -> Callable[[Record], Iterator[Example | Reject]]:
    if task in ("classify", "classify_yes_no"):
        if names is None:
            raise ValueError(f"source {source.name!r} has classes but no table of their names")
        classes = classify.Classes(source, seed, names)
        return classes.naming if task == "classify" else classes.yes_no  # type: ignore[return-value]
    make = _MAKERS[task]
    return lambda record: make(source, record, seed)
