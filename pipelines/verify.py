"""`translate-mix verify`: does every file of a mix still hold what its manifest says?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.filesystem import (
    cause_of,
    digest_of,
    exists,
    files_matching,
    is_local,
    join,
    open_binary,
)
from pipelines.images import EMBED
from pipelines.manifest import LostRows, Manifest, check_nothing_lost, is_as_written, read_manifest
from pipelines.mix_files import IMAGE_SCHEMA, ImageFile, ShardFile, schema_of
from translation.disk import PARTIAL
from translation.machine import available_cores
from translation.mix_folder import ANSWERS, CARD, FOLDERS, MANIFEST, THRESHOLDS

READERS = 8
"""Files that are read at once, at most; more do not make a disk faster."""


def problems(directory: str, advance: Callable[[int], object] = lambda rows: None) -> Iterator[str]:
    """One line for everything that is wrong: missing, changed, or foreign files, wrong rows or schema.

    Args:
        advance: is told how many rows more were looked at.

    Raises:
        ValueError: the directory is no finished mix, or its manifest is damaged.
    """
    manifest = read_manifest(directory)
    yield from _of_manifest(directory, manifest)
    files = manifest.all_files
    pool = ThreadPoolExecutor(max(2, min(READERS, available_cores())))
    try:
        found = pool.map(lambda file: _of_file(directory, file, _schema(manifest, file)), files)
        for file, wrong in zip(files, found, strict=True):
            if wrong:
                yield f"{file.path}: {'; '.join(wrong)}"
            advance(file.rows)
    finally:
        pool.shutdown(cancel_futures=True)
    yield from _foreign(directory, manifest)
    yield from _of_others(directory, manifest)


def _of_manifest(directory: str, manifest: Manifest) -> Iterator[str]:
    if not is_as_written(directory):
        yield f"{MANIFEST}: has changed since it was written (its own checksum is another)"
    for path, times in Counter(file.path for file in manifest.all_files).items():
        if times > 1:
            yield f"{MANIFEST}: names {path} {times} times"
    try:
        check_nothing_lost(manifest)
    except LostRows as error:
        yield f"{MANIFEST}: {error}"


def _schema(manifest: Manifest, file: ShardFile | ImageFile) -> pa.Schema:
    """What the manifest lets expect of a file."""
    if isinstance(file, ImageFile):
        return IMAGE_SCHEMA
    return schema_of(str(manifest.recipe.get("images", EMBED)))


def _of_file(directory: str, file: ShardFile | ImageFile, schema: pa.Schema) -> list[str]:
    path = join(directory, *file.path.split("/"))
    try:
        if not exists(path):
            return ["missing"]
        return _damage(path, file, schema)
    except OSError as error:
        return [f"cannot be read: {cause_of(error)}"]


def _damage(path: str, file: ShardFile | ImageFile, schema: pa.Schema) -> list[str]:
    wrong = []
    with open_binary(path) as stream:
        found = digest_of(stream)
    if found.size != file.size:
        wrong.append(f"holds {found.size:,} bytes, not {file.size:,}")
    elif found.sha256 != file.sha256:
        wrong.append(f"its content has changed (sha256 {found.sha256[:16]}, not {file.sha256[:16]})")
    with open_binary(path) as stream:
        try:
            parquet = pq.ParquetFile(stream)
        except (OSError, pa.ArrowException) as error:
            return [*wrong, f"is no whole Parquet file ({str(error).splitlines()[0]})"]
        if parquet.metadata.num_rows != file.rows:
            wrong.append(f"holds {parquet.metadata.num_rows:,} rows, not {file.rows:,}")
        if not parquet.schema_arrow.equals(schema, check_metadata=True):
            wrong.append(_other_columns(parquet.schema_arrow, schema))
    return wrong


def _other_columns(found: pa.Schema, wanted: pa.Schema) -> str:
    """How the columns of a file differ from those of this version."""
    here = {field.name: field for field in wanted}
    there = {field.name: field for field in found}
    lacks = [name for name in here if name not in there]
    more = [name for name in there if name not in here]
    other = [name for name, field in there.items() if name in here and not field.equals(here[name])]
    named = [("without", lacks), ("with also", more), ("of another type:", other)]
    told = ", ".join(f"{how} {', '.join(names)}" for how, names in named if names)
    return (
        f"its columns are not those of this version of translate-mix ({told or 'another order or metadata'})"
    )


def _foreign(directory: str, manifest: Manifest) -> Iterator[str]:
    """Files that no manifest may lack: `datasets` would read them with the others."""
    known = {file.path for file in manifest.all_files}
    for path in _files(directory):
        if path.endswith(PARTIAL):
            yield f"{path}: is left of a write that was interrupted"
        elif path.endswith(".parquet") and path not in known:
            yield f"{path}: is not in the manifest"


def _files(directory: str) -> list[str]:
    """All in the folders of the mix, relative to it, and hidden ones beside the manifest."""
    if is_local(directory):
        root = Path(directory)
        found = [path for folder in FOLDERS for path in (root / folder).rglob("*")]
        return sorted(path.relative_to(root).as_posix() for path in (*found, *root.glob(f".*{PARTIAL}")))
    start = len(join(directory, ""))
    there = files_matching(directory, [f"{one}/**" for one in FOLDERS])
    return sorted(str(one.path)[start:] for one in there)


def _of_others(directory: str, manifest: Manifest) -> Iterator[str]:
    """The files beside the manifest."""
    if not exists(join(directory, CARD)):
        yield f"{CARD}: missing"
    if manifest.answers is not None:
        remedy = "keep a reviewed table elsewhere, and name it in the recipe (answers.file)"
        yield from _of_table(directory, ANSWERS, manifest.answers.sha256, remedy)
    if manifest.thresholds:
        remedy = "`translate-mix refilter --set thresholds=FILE` judges by another table"
        yield from _of_table(directory, THRESHOLDS, manifest.thresholds, remedy)


def _of_table(directory: str, name: str, wanted: str, remedy: str) -> Iterator[str]:
    """What is wrong with a file by its SHA-256."""
    path = join(directory, name)
    try:
        if not exists(path):
            yield f"{name}: missing"
            return
        with open_binary(path) as stream:
            digest = digest_of(stream).sha256
    except OSError as error:
        yield f"{name}: cannot be read: {cause_of(error)}"
        return
    if digest != wanted:
        yield f"{name}: has changed; {remedy}"
