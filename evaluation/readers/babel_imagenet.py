"""Babel-ImageNet (Geigle et al. 2024, arXiv:2306.08658): ImageNet's classes named in many languages.

The labels are `{"DE": [[class indices], [labels]]}`; pictures stand in folders named by WordNet's ids. Labels
are cleaned as they are for training, and those in another script than the language's are left out; English
ones are the words of `classes`, for BabelNet's are often Latin (`Tinca tinca` for a tench). To choose among,
names of other classes are drawn from the language's own, anew for each picture but the same in
every run; published lists of hard negatives would be a task of `records`.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from evaluation.pictures import PictureStore
from evaluation.predictions import BROKEN_RECORD
from evaluation.readers.records import DataError, LeftOut, Record, Source, loaded
from evaluation.tasks import TaskFile
from translation.class_names import (
    SYNSET,
    ClassNamesError,
    babel_labels,
    class_index,
    in_script,
    is_name,
)


def read(task: TaskFile, source: Source, store: PictureStore) -> Iterator[Record | LeftOut]:
    """A record per language and picture whose class has a label in it."""
    (path,) = task.paths(("classes",), task.task.classes or "")
    try:
        index = class_index(loaded(path), path.name)
        labels = babel_labels(loaded(source.path), str(source.path), len(index))
    except ClassNamesError as error:
        raise DataError(str(error)) from error
    pictures = _by_class(store, task.task.per_class)
    if not pictures.keys() & {synset for synset, _ in index.values()}:
        such = f"such as {index['0'][0]}"
        raise DataError(f"{task.written.file}: pictures.path has no folder of a class, {such}")
    for code, listed in labels.items():
        if not task.task.wanted(code):
            continue
        labelled = [(*index[key], label) for key, label in dict(listed).items()]
        language = task.task.language(code)
        if language.english:
            labelled = [(synset, word, word) for synset, word, _ in labelled]
        written = in_script(
            language.nllb, [label for *_, label in labelled], [word for _, word, _ in labelled]
        )
        classes = {}
        for (synset, _, label), fits in zip(labelled, written, strict=True):
            if is_name(label) and fits:
                classes[synset] = label
            else:
                why = (
                    f"{label!r} is not in its script" if is_name(label) else f"the label {label!r} is no name"
                )
                yield LeftOut(BROKEN_RECORD, f"{source.path.name}: {code} {synset}: {why}")
        for synset, label in classes.items():
            for name in pictures.get(synset, ()):
                item = f"{synset}/{PurePosixPath(name).stem}"
                choices = _drawn(task.task.drawn_choices, label, classes, f"{code} {item}")
                if len(choices) == 1:
                    yield LeftOut(BROKEN_RECORD, f"{code} {item}: no other label to choose from")
                    continue
                yield Record(item, code, None, (label,), {"code": code}, item, choices, picture=name)


def _by_class(store: PictureStore, most: int | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, _ in store.listed():
        synset = PurePosixPath(name).parent.name
        if SYNSET.fullmatch(synset) and (most is None or len(found[synset]) < most):
            found[synset].append(name)
    return found


def _drawn(count: int | None, label: str, classes: dict[str, str], key: str) -> tuple[str, ...]:
    """The label among others, in an order that depends on the key alone."""
    if count is None:
        return ()
    folded = label.casefold()
    # Two classes of one name cannot be told apart.
    others = sorted({one for one in classes.values() if one and one.casefold() != folded})
    by_fold = {one.casefold(): one for one in others}
    # By a digest, for Python's own hashes of texts differ from run to run.
    draw = random.Random(hashlib.sha256(key.encode()).digest())
    chosen = draw.sample(sorted(by_fold.values()), min(count - 1, len(by_fold)))
    choices = [label, *chosen]
    draw.shuffle(choices)
    return tuple(choices)
