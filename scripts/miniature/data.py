"""The miniature's data: pictures with true English captions, and held-out pictures with captions by people.

    python -m scripts.miniature.data --output build/miniature/data

Fetches emoji in three drawings (Noto, Fluent, Twemoji), their names (CLDR), and Tux Paint's stamps by package
name, and writes

- `pictures/`: PNG, transparent parts over white;
- `captions.jsonl`: what the mix is made of: `id`, `image`, English `caption`, `source`, `licence`;
- `references.jsonl`: held-out pictures: `id`, `image`, `kind`, `captions` (NLLB code -> list, English
  included), `source`, `licence`; in an order without meaning, so that the first lines are a fair sample;
- `references/<kind>/<NLLB code>.jsonl`: the same by kind and language, `id`, `image`, `captions`, for
  `realign evaluate` with `things.yaml` and `drawings.yaml` of this folder.

A held-out picture is of one of two kinds: `things`, when nothing of its name is trained in any drawing, nor
as man or woman; and `drawings`, Twemoji's picture of a thing that is trained in the drawings of others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from scripts.miniature import emoji, stamps
from scripts.miniature.pictures import Picture, held_out, write_on_white
from translation.languages import ENGLISH

TRAINED = (emoji.NOTO, emoji.FLUENT)
UNSEEN = emoji.TWEMOJI
"""Whose drawings are held out, all of them."""
THINGS, DRAWINGS = "things", "drawings"
"""Kinds of held-out pictures."""


def split(pictures: Iterable[Picture], drawings: int) -> tuple[list[Picture], list[tuple[str, Picture]]]:
    """Pictures to train on, and held-out ones with their kind.

    Args:
        drawings: at most so many drawings of trained things are kept.
    """
    trained: list[Picture] = []
    unseen: list[tuple[str, Picture]] = []
    for picture in pictures:
        if held_out(picture.thing):
            unseen.append((THINGS, picture))
        elif picture.source == UNSEEN.name:
            unseen.append((DRAWINGS, picture))
        else:
            trained.append(picture)
    things = {picture.thing for picture in trained}
    # By a hash of the id, so that the first ones are drawn fairly, and neighbours have nothing in common.
    unseen.sort(key=lambda item: hashlib.sha256(item[1].id.encode()).digest())
    kept = [item for item in unseen if item[0] == DRAWINGS and item[1].thing in things][:drawings]
    return trained, [item for item in unseen if item[0] == THINGS or item in kept]


def write(pictures: Iterable[Picture], output: Path, drawings: int) -> tuple[int, Counter[str]]:
    """Writes all files; returns the number of trained pictures, and of held-out ones by kind."""
    trained, unseen = split(pictures, drawings)
    (output / "pictures").mkdir(parents=True, exist_ok=True)
    for picture in (*trained, *(picture for _, picture in unseen)):
        write_on_white(picture.file, output / _image(picture))
    captions = [
        {"id": picture.id, "image": _image(picture), "caption": picture.english} | _origin(picture)
        for picture in trained
    ]
    references = [
        {"id": picture.id, "image": _image(picture), "kind": kind, "captions": _captions(picture)}
        | _origin(picture)
        for kind, picture in unseen
    ]
    _write_lines(output / "captions.jsonl", captions)
    _write_lines(output / "references.jsonl", references)
    for (kind, code), rows in _by_language(unseen).items():
        _write_lines(output / "references" / kind / f"{code}.jsonl", rows)
    return len(trained), Counter(kind for kind, _ in unseen)


def _by_language(unseen: Iterable[tuple[str, Picture]]) -> dict[tuple[str, str], list[dict[str, object]]]:
    found: dict[tuple[str, str], list[dict[str, object]]] = {}
    for kind, picture in unseen:
        for code, texts in _captions(picture).items():
            row: dict[str, object] = {"id": picture.id, "image": _image(picture), "captions": texts}
            found.setdefault((kind, code), []).append(row)
    return found


def _write_lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _captions(picture: Picture) -> dict[str, list[str]]:
    others = {code: list(texts) for code, texts in sorted(picture.captions.items())}
    return {ENGLISH: [picture.english]} | others


def _image(picture: Picture) -> str:
    return f"pictures/{picture.id}.png"


def _origin(picture: Picture) -> dict[str, str]:
    return {"source": picture.source, "licence": picture.licence}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--output", type=Path, required=True, help="folder of the data")
    parser.add_argument("--cache", type=Path, default=Path("build/packages"), help="folder of the packages")
    parser.add_argument("--drawings", type=int, default=200, help="held-out drawings of trained things")
    options = parser.parse_args()
    pictures = [picture for drawings in (*TRAINED, UNSEEN) for picture in emoji.read(drawings, options.cache)]
    pictures += stamps.read(options.cache)
    trained, unseen = write(pictures, options.output, options.drawings)
    sources = Counter(picture.source for picture in pictures)
    print(f"{options.output}: {trained:,} pictures to train on; held out {dict(unseen)}; all {dict(sources)}")


if __name__ == "__main__":
    main()
