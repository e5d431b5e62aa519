"""A finished mix of a few rows, with everything that a page must cope with: real files, a real manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from pipelines.images import EMBED, REFERENCE, SHARED
from pipelines.manifest import Manifest, Signature, counts_of, merge_counts, write_manifest
from pipelines.mix_files import IMAGE_SCHEMA, ImageFile, ShardFile, schema_of
from pipelines.recipe import checked_recipe
from tests.pictures import encoded
from translation.filters import NO_SCORES
from translation.filters.thresholds import default_thresholds
from translation.languages import ENGLISH, languages
from translation.row import ACCEPT, ROW_SCORES, row_schema
from translation.settings_file import override_values

HOSTILE = """</dd></script><script>window.broken=1</script><img src=x onerror="window.broken=2">"""
LONG = "A very long text. " * 500
LID = "lid: 0.1 for the language against others, at least 0.456 wanted"
NO_JSON = "source: line 3 of captions.json is no JSON"

TARGETS = {
    "arb_Arab": "زورق أحمر",
    "deu_Latn": "ein rotes Boot",
    "heb_Hebr": "סירה אדומה",
    "jpn_Jpan": "赤い船",
    "mya_Mymr": "လှေနီ",
    "tha_Thai": "เรือสีแดง",
    "eng_Latn": "a red boat",
}


@cache
def picture(colour: str = "red", size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    return encoded(Image.new("RGB", size, colour), kind)


def row(code: str, index: int, **columns: Any) -> dict[str, Any]:
    """A caption of the language, accepted unless the columns say otherwise."""
    target = TARGETS.get(code, f"text {index}")
    made: dict[str, Any] = dict.fromkeys(row_schema().names) | {
        "id": f"boats/{index:03d}/caption/{code}",
        "dataset": "boats",
        "task": "caption",
        "template": "caption-short",
        "image": {"bytes": picture(), "path": f"boat-{index}.png"},
        "image_id": f"boat-{index}",
        "split": "train",
        "prompt_language": "eng_Latn",
        "language": code,
        "prompt": f"Describe the image in {languages()[code].name if code in languages() else code}.",
        "target": target,
        "source_prompt": f"Describe the image in {languages()[code].name if code in languages() else code}.",
        "source_target": "a red boat",
        "scores": dict.fromkeys(ROW_SCORES),
        "verdict": ACCEPT,
    }
    if code != "eng_Latn":
        made["back_translation"] = "a red boat"
        made["scores"] = made["scores"] | NO_SCORES | {"words": 3.0, "script": 1.0, "lid": 0.5 + index / 100}
    return made | columns


def rejected(code: str, index: int, **columns: Any) -> dict[str, Any]:
    scores = dict.fromkeys(ROW_SCORES) | {"words": 3.0, "lid": 0.1}
    return row(code, index, verdict="reject", reason=LID, scores=scores) | columns


def unread(index: int) -> dict[str, Any]:
    """A record that never became an example."""
    return dict.fromkeys(row_schema().names) | {
        "id": f"boats/{index}/caption/und",
        "dataset": "boats",
        "task": "caption",
        "language": "und",
        "source_target": "{broken",
        "verdict": "reject",
        "reason": NO_JSON,
    }


def some_rows() -> list[dict[str, Any]]:
    """Seven languages, text that tries to break out, long text, several turns, two pictures, none."""
    rows = [row(code, index) for code in TARGETS for index in range(8)]
    rows += [
        rejected(code, index) for code in ("arb_Arab", "deu_Latn", "tha_Thai") for index in range(50, 54)
    ]
    rows += [
        row("deu_Latn", 20, target=HOSTILE, source_target=HOSTILE, prompt=HOSTILE, task="vqa"),
        row("deu_Latn", 21, target=LONG, task="text", image=None, image_id=None),
        row("arb_Arab", 22, task="instruct", prompt="What is it?\n\nA boat.\n\nما لونه؟"),
        row("jpn_Jpan", 23, task="statement", second_image={"bytes": picture("blue"), "path": "b.png"}),
        rejected("deu_Latn", 54, image={"bytes": b"no picture", "path": "x.png"}, reason="image: broken"),
        rejected("heb_Hebr", 55, image={"bytes": None, "path": "gone.png"}, reason="duplicate: of another"),
        unread(1),
    ]  # fmt: skip
    return rows


def write_mix(
    directory: Path,
    rows: Sequence[dict[str, Any]] | None = None,
    *,
    images: str = EMBED,
    recipe: dict[str, Any] | None = None,
    empty: Sequence[str] = (),
    group: int = 4,
    **signature: str,
) -> Path:
    """Writes a mix.

    Args:
        recipe: keys over those of a small one.
        empty: languages that have no row.
        group: rows of a row group.
        signature: fields over those of an NLLB model.
    """
    rows = some_rows() if rows is None else rows
    raw: dict[str, Any] = {
        "name": "boats",
        "model": "nllb",
        "images": images,
        "languages": {"english_share": 0.125, "codes": [code for code in TARGETS if code != "eng_Latn"]},
        "sources": [{"name": "boats", "format": "coco", "annotations": "c.json", "images": "i"}],
    }
    written = override_values(raw | (recipe or {}), "recipe.yaml", ())
    full = checked_recipe(written).model_dump(mode="json")
    shared: dict[str, bytes] = {}
    if images == SHARED:
        rows = [_shared(one, shared) for one in rows]
    if images == REFERENCE:
        rows = [_referred(one, directory.parent / "pictures") for one in rows]
    parts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in rows:
        kind = "data" if one["verdict"] == ACCEPT else "rejected"
        parts.setdefault((kind, one["language"]), []).append(one)
    files = []
    for (kind, code), part in sorted(parts.items()):
        stem = "train" if kind == "data" else "rejected"
        name = f"{kind}/{code}/{stem}-00000-of-00001.parquet"
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(part, schema=schema_of(images)), path, row_group_size=group)
        digest = sha256(path.read_bytes()).hexdigest()
        files.append(ShardFile(name, len(part), digest, path.stat().st_size, code, "train", kind == "data"))
    counts = []
    for code in sorted({one["language"] for one in rows} | set(empty)):
        reasons = [one["reason"] and one["reason"].split(":")[0] for one in rows if one["language"] == code]
        counts.append(merge_counts(code, len(reasons), [(reason, 1) for reason in reasons]))
    manifest = Manifest(
        signature=replace(_signature(), **signature),
        recipe=full,
        read=len(rows),
        counts=tuple(counts),
        questions=counts_of(
            ((one["question_language"], one["reason"] and one["reason"].split(":")[0]), 1)
            for one in rows
            if one["language"] == ENGLISH and one["question_language"] not in (None, ENGLISH)
        ),
        files=tuple(files),
        licences={"model nllb": "CC-BY-NC-4.0", "source boats": "CC-BY-4.0"},
        images=tuple(_write_shared(directory, shared)) if shared else (),
    )
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "README.md").write_text("# boats\n", encoding="utf-8")
    write_manifest(str(directory), manifest)
    return directory


def _signature() -> Signature:
    shipped = default_thresholds()
    return Signature(
        "0.1.0", "0123456789abcdef", 17, "nllb", "abcdef", "ctranslate2", "beam 4", shipped.identification,
        "f00d", shipped.digest,
    )  # fmt: skip


def _shared(one: dict[str, Any], pictures: dict[str, bytes]) -> dict[str, Any]:
    """The row with its picture's id for a path."""
    if one["image"] is None or one["image"]["bytes"] is None:
        return one
    pictures[one["image_id"]] = one["image"]["bytes"]
    return one | {"image": {"bytes": None, "path": one["image_id"]}, "second_image": None}


def _referred(one: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The row with its picture in a file, where it was read."""
    if one["image"] is None or one["image"]["bytes"] is None:
        return one
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / one["image"]["path"]
    path.write_bytes(one["image"]["bytes"])
    return one | {"image": {"bytes": None, "path": str(path)}, "second_image": None}


def _write_shared(directory: Path, pictures: dict[str, bytes]) -> list[ImageFile]:
    path = directory / "images" / "images-00000-of-00001.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = [
        {"image_id": name, "image": {"bytes": data, "path": f"{name}.png"}}
        for name, data in sorted(pictures.items())
    ]
    pq.write_table(pa.Table.from_pylist(cells, schema=IMAGE_SCHEMA), path, row_group_size=3)
    name = "images/images-00000-of-00001.parquet"
    return [ImageFile(name, len(cells), sha256(path.read_bytes()).hexdigest(), path.stat().st_size)]
