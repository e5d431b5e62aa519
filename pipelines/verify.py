"""`translate-mix verify`: does every file of a mix still hold what its manifest says?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from pipelines.filesystem import exists, is_local, join, read_text
from pipelines.manifest import ANSWERS_FILE, AnswerTable, LostRows, check_nothing_lost, read_manifest
from pipelines.sink import DATA, REJECTED, ShardFile
from translation.row import row_schema

BLOCK = 2**20


def problems(directory: str) -> Iterator[str]:
    """One line for everything that is wrong: missing, changed, or foreign files, wrong rows or schema.

    Raises:
        ValueError: the directory is no finished mix, or its manifest is damaged.
    """
    manifest = read_manifest(directory)
    for file in manifest.files:
        problem = _problem(join(directory, *file.path.split("/")), file)
        if problem:
            yield f"{file.path}: {problem}"
    known = {join(directory, *file.path.split("/")) for file in manifest.files}
    for kind in (DATA, REJECTED):
        for found in _parquet_files(join(directory, kind)):
            if found not in known:
                yield f"{found}: is not in the manifest"
    if manifest.answers and (changed := _answers_problem(directory, manifest.answers)):
        yield f"{ANSWERS_FILE}: {changed}"
    try:
        check_nothing_lost(manifest)
    except LostRows as error:
        yield f"manifest.json: {error}"


def _answers_problem(directory: str, table: AnswerTable) -> str | None:
    path = join(directory, ANSWERS_FILE)
    if not exists(path):
        return "missing"
    if hashlib.sha256(read_text(path).encode()).hexdigest() != table.sha256:
        return "has changed; keep a reviewed table elsewhere, and name it in the recipe (answers.file)"
    return None


def _parquet_files(folder: str) -> list[str]:
    if is_local(folder):
        return sorted(map(str, Path(folder).rglob("*.parquet")))
    matches = FileSystems.match([join(folder, "**.parquet")])
    return [found.path for match in matches for found in match.metadata_list]


def _problem(path: str, file: ShardFile) -> str | None:
    if not exists(path):
        return "missing"
    digest, size = hashlib.sha256(), 0
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            size += len(block)
    if size != file.size:
        return f"holds {size:,} bytes, not {file.size:,}"
    if digest.hexdigest() != file.sha256:
        return f"its content has changed (sha256 {digest.hexdigest()[:16]}, not {file.sha256[:16]})"
    with FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as stream:
        parquet = pq.ParquetFile(stream)
        if parquet.metadata.num_rows != file.rows:
            return f"holds {parquet.metadata.num_rows:,} rows, not {file.rows:,}"
        if not parquet.schema_arrow.equals(row_schema()):
            return "its columns are not those of this version of translate-mix"
    return None
