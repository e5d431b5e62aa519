"""Speed of the readers of all source formats, against bare parsers of the same files.

    python benchmarks/reading.py [--quick] [SOURCE ...]

Writes a file of every format, after the layout of the public data, and reads it three ways in turns, the best
time of each counting: with our reader up to records (checked texts, ids and pictures), further to examples,
and with a bare parser that makes Python's own objects of the file and checks nothing: `orjson.loads` of the
whole file or of each line, `csv.reader`, `pyarrow`'s `to_pylist`, `tarfile`, `os.walk`. `vs_bare` is the bare
parser's time over ours to records, in seconds of one core; `vs_built` the same where the bare parser is also
given the time that making the record objects takes alone, of texts at hand. `peak_mib` is what reading to
examples adds to a fresh process. The last line of standard output is one JSON object of figures.
"""

from __future__ import annotations

import argparse
import csv
import gc
import io
import json
import multiprocessing
import os
import random
import resource
import sys
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from pipelines.examples import Example, Reject
from pipelines.recipe import Recipe, load_recipe
from pipelines.records import (
    Asked,
    Captioned,
    Classified,
    Entailed,
    Picture,
    Place,
    Record,
    Stated,
    Talk,
    Written,
)
from pipelines.sources import READERS, pieces, read_piece, read_records

RECORDS, QUICK_RECORDS = 200_000, 6_000
"""Captions, questions or conversations of a file."""
ROUNDS, QUICK_ROUNDS = 5, 3
SEED = 17
PICTURE = random.Random(SEED).randbytes(4_096)
"""Content of pictures where a format holds them; never decoded."""

_WORDS = (
    *("a", "the", "man", "woman", "dog", "cat", "street", "bus", "table", "holding", "riding", "standing"),
    *("sitting", "with", "on", "in", "of", "near", "next", "to", "red", "blue", "large", "small", "two"),
    *("people", "group", "white", "black", "train", "plate", "food", "water", "grass", "field", "board"),
    *("tennis", "ball", "kitchen", "room", "window", "building", "sign", "clock", "horse", "snow", "beach"),
)

_COLUMNS = {
    "megabytes": 11,
    "records_per_second": 20,
    "examples_per_second": 21,
    "vs_bare": 9,
    "vs_built": 10,
    "peak_mib": 10,
}
"""Figures that are shown, and how wide."""

Item = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One file format and what reads it bare."""

    name: str
    source: Item
    """Its keys in a recipe."""
    write: Callable[[Path, int], None]
    """Writes files of that many records into a folder."""
    bare: Callable[[Path], object]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--quick", action="store_true", help="few records, within 50 s")
    options.add_argument("sources", nargs="*", metavar="SOURCE", help="only these")
    given = options.parse_args()
    unknown = set(given.sources) - {case.name for case in CASES}
    if unknown:
        options.error(f"no source {', '.join(sorted(unknown))}; there: {', '.join(c.name for c in CASES)}")
    number, rounds = (QUICK_RECORDS, QUICK_ROUNDS) if given.quick else (RECORDS, ROUNDS)
    figures: dict[str, dict[str, float]] = {}
    fresh = multiprocessing.get_context("forkserver")
    fresh.set_forkserver_preload(["reading", "pipelines.sources"])
    columns = (f"{name:>{width}}" for name, width in _COLUMNS.items())
    print(f"{'source':<17}{''.join(columns)}")
    for case in CASES:
        if case.source["format"] not in READERS or (given.sources and case.name not in given.sources):
            continue
        with tempfile.TemporaryDirectory() as folder:
            found = _measured(case, Path(folder), number, rounds, fresh)
        figures[case.name] = found
        columns = (f"{found[name]:>{width},}" for name, width in _COLUMNS.items())
        print(f"{case.name:<17}{''.join(columns)}", flush=True)
    print(json.dumps(figures))
    return 0


def _measured(case: Case, folder: Path, number: int, rounds: int, fresh: Any) -> dict[str, float]:
    (folder / "images").mkdir()
    case.write(folder, number)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    recipe_file = folder / "recipe.yaml"
    recipe_file.write_text(yaml.safe_dump({"name": "r", "sources": [{"name": case.name, **case.source}]}))
    # Each in a process of its own: how fast objects are made also depends on what was made before.
    found: dict[str, float] = _in_fresh(fresh, _timed, case.name, recipe_file, rounds)
    return found | {
        "peak_mib": round(_in_fresh(fresh, _peak, recipe_file), 1),
        "megabytes": round(size / 1e6, 1),
    }


def _in_fresh(fresh: Any, work: Callable[..., Any], *given: object) -> Any:
    """What `work` returns in a fresh process."""
    receiving, sending = fresh.Pipe(duplex=False)
    process = fresh.Process(target=_sent, args=(sending, work, given))
    process.start()
    # So that its end is seen should it send nothing.
    sending.close()
    try:
        return receiving.recv()
    except EOFError:
        raise SystemExit("a process of the benchmark broke off") from None
    finally:
        process.join()


def _sent(sending: Any, work: Callable[..., Any], given: tuple[object, ...]) -> None:
    sending.send(work(*given))


def _timed(name: str, recipe_file: Path, rounds: int) -> dict[str, float]:
    (case,) = (one for one in CASES if one.name == name)
    recipe = load_recipe(recipe_file)
    records, examples = list(_faultless(_records(recipe))), sum(1 for _ in _faultless(_examples(recipe)))
    reading = (
        lambda: case.bare(recipe_file.parent),
        lambda: [_BUILD[type(record)](record) for record in records],
        lambda: _consume(_records(recipe)),
        lambda: _consume(_examples(recipe)),
    )
    best = [float("inf")] * len(reading)
    for _ in range(rounds):
        best = [min(time_, _seconds(read)) for time_, read in zip(best, reading, strict=True)]
    bare, building, to_records, to_examples = best
    return {
        "vs_bare": round(bare / to_records, 3),
        "vs_built": round((bare + building) / to_records, 3),
        "examples_vs_bare": round(bare / to_examples, 3),
        "records_per_second": round(len(records) / to_records),
        "examples_per_second": round(examples / to_examples),
    }


def _records(recipe: Recipe) -> Iterator[object]:
    for piece in pieces(recipe):
        yield from read_records(recipe, piece)


def _examples(recipe: Recipe) -> Iterator[Example | Reject]:
    for piece in pieces(recipe):
        yield from read_piece(recipe, piece)


def _faultless(found: Iterable[object]) -> Iterator[Any]:
    """Passes on what was read. Raises if one is a reject: the files are without fault."""
    for one in found:
        if isinstance(one, Reject):
            raise SystemExit(f"a faultless record was rejected: {one.reason}: {one.record[:300]}")
        yield one


def _place(place: Place) -> Place:
    return Place(place.file, place.unit, place.position, place.stem)


def _picture(picture: Picture) -> Picture:
    return Picture(picture.locator, picture.image_id)


_BUILD: dict[type, Callable[[Any], Record]] = {
    Captioned: lambda r: Captioned(_place(r.place), _picture(r.picture), r.captions),
    Asked: lambda r: Asked(
        _place(r.place), r.source_id, _picture(r.picture), r.question, r.answer, r.rationales
    ),
    Talk: lambda r: Talk(_place(r.place), r.source_id, _picture(r.picture), r.turns),
    Classified: lambda r: Classified(_place(r.place), r.source_id, _picture(r.picture), r.name),
    Stated: lambda r: Stated(
        _place(r.place),
        r.source_id,
        (_picture(r.pictures[0]), _picture(r.pictures[1])),
        r.statement,
        r.holds,
    ),
    Entailed: lambda r: Entailed(_place(r.place), r.source_id, _picture(r.picture), r.hypothesis, r.label),
    Written: lambda r: Written(_place(r.place), r.source_id, r.text, r.language),
}
"""Makes a record anew, of the same texts."""


def _consume(found: Iterable[object]) -> None:
    deque(found, maxlen=0)


def _seconds(read: Callable[[], object]) -> float:
    gc.collect()
    # Of the processor, not of the clock: the files are in memory, and others may be using the machine.
    start = time.process_time()
    kept = read()
    taken = time.process_time() - start
    del kept
    return taken


def _peak(recipe_file: Path) -> float:
    """The MiB that reading adds to what this process had at its start."""
    recipe = load_recipe(recipe_file)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _consume(_examples(recipe))
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


# Files


def _texts(number: int, words: int = 10) -> Iterator[str]:
    draw = random.Random(SEED)
    for _ in range(number):
        yield " ".join(draw.choices(_WORDS, k=words)).capitalize() + "."


def _coco_name(number: int, part: str = "train2014") -> str:
    return f"COCO_{part}_{number:012}.jpg"


def _dump(path: Path, value: object) -> None:
    # With spaces after separators, as Python's json writes the public files.
    path.write_text(json.dumps(value), encoding="utf-8")


def _dump_lines(path: Path, values: Iterable[object]) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(value) + "\n" for value in values)


def _write_coco(folder: Path, number: int) -> None:
    images = [
        {
            "license": 3,
            "file_name": _coco_name(image),
            "coco_url": f"http://images.cocodataset.org/train2014/{_coco_name(image)}",
            "height": 360,
            "width": 640,
            "date_captured": "2013-11-14 11:18:45",
            "flickr_url": "http://farm9.staticflickr.com/8186/8119368305_4e622c8349_z.jpg",
            "id": image,
        }
        for image in range(number // 5)
    ]
    annotations = [
        {"image_id": index % len(images), "id": index, "caption": text}
        for index, text in enumerate(_texts(number))
    ]
    _dump(folder / "a.json", {"info": {}, "images": images, "annotations": annotations, "licenses": []})


def _write_karpathy(folder: Path, number: int) -> None:
    texts = _texts(number)
    images = [
        {
            "filepath": "train2014",
            "sentids": list(range(5 * image, 5 * image + 5)),
            "filename": _coco_name(image),
            "imgid": image,
            "split": "train",
            "sentences": [
                {
                    "tokens": text.lower().removesuffix(".").split(),
                    "raw": text,
                    "imgid": image,
                    "sentid": 5 * image + index,
                }
                for index, text in ((index, next(texts)) for index in range(5))
            ],
            "cocoid": image,
        }
        for image in range(number // 5)
    ]
    _dump(folder / "a.json", {"images": images, "dataset": "coco"})


def _write_capfilt(folder: Path, number: int) -> None:
    _dump(
        folder / "p.json",
        [
            {"caption": text, "url": f"https://example.org/{index}.jpg", "image": f"{index:09}.jpg"}
            for index, text in enumerate(_texts(number))
        ],
    )


def _write_vqav2(folder: Path, number: int) -> None:
    questions, annotations = [], []
    for index, text in enumerate(_texts(number, 6)):
        common = {"image_id": index // 5, "question_id": 1_000 * (index // 5) + index % 5}
        questions.append(common | {"question": text})
        answers = [{"answer": "yes", "answer_confidence": "maybe", "answer_id": one} for one in range(1, 11)]
        said = {"question_type": "is the", "multiple_choice_answer": "yes", "answer_type": "yes/no"}
        annotations.append(common | said | {"answers": answers})
    part = {"info": {}, "data_subtype": "train2014", "license": {}}
    _dump(folder / "q.json", part | {"task_type": "Open-Ended", "questions": questions})
    _dump(folder / "a.json", part | {"annotations": annotations})


def _write_aokvqa(folder: Path, number: int) -> None:
    texts = _texts(4 * number)
    _dump(
        folder / "a.json",
        [
            {
                "split": "train",
                "image_id": index,
                "question_id": f"22MexNkBPpdZGX{index:08}",
                "question": next(texts),
                "choices": ["skateboarder", "train", "delivery", "cab"],
                "correct_choice_idx": 3,
                "direct_answers": [
                    "ride",
                    "ride",
                    "bus",
                    "taxi",
                    "travelling",
                    "traffic",
                    "taxi",
                    "cab",
                    "cab",
                ],
                "difficult_direct_answer": False,
                "rationales": [next(texts) for _ in range(3)],
            }
            for index in range(number)
        ],
    )


def _write_llava(folder: Path, number: int) -> None:
    texts = _texts(6 * number, 18)
    _dump(
        folder / "p.json",
        [
            {
                "id": f"{index:012}",
                "image": f"{index:012}.jpg",
                "conversations": [
                    {
                        "from": "human" if turn % 2 == 0 else "gpt",
                        "value": next(texts) + ("\n<image>" if turn == 0 else ""),
                    }
                    for turn in range(6)
                ],
            }
            for index in range(number)
        ],
    )


def _write_gqa(folder: Path, number: int) -> None:
    _dump(
        folder / "p.json",
        {
            f"{index:09}": {
                "semantic": [
                    {"operation": "select", "dependencies": [], "argument": "snowboard (1)"},
                    {"operation": "query", "dependencies": [0], "argument": "color"},
                ],
                "entailed": [f"{index + 1:09}"],
                "equivalent": [f"{index:09}"],
                "question": text,
                "imageId": str(index // 10),
                "isBalanced": True,
                "groups": {"global": None, "local": "09existOr-fence_snowboard"},
                "answer": "red",
                "semanticStr": "select: snowboard (1)->query: color [0]",
                "annotations": {"answer": {}, "question": {"7": "1"}, "fullAnswer": {"4": "1"}},
                "types": {"detailed": "existOr", "semantic": "obj", "structural": "logical"},
                "fullAnswer": "The snowboard is red.",
            }
            for index, text in enumerate(_texts(number, 8))
        },
    )


def _write_flickr30k(folder: Path, number: int) -> None:
    with open(folder / "a.token", "w", encoding="utf-8") as file:
        for index, text in enumerate(_texts(number)):
            file.write(f"{1_000_092_795 + index // 5}.jpg#{index % 5}\t{text}\n")


def _write_nlvr2(folder: Path, number: int) -> None:
    url = "https://i.kinja-img.com/gawker-media/image/upload/s--UyhVSznS--/18iy0hwo5wdrpjpg.jpg"
    _dump_lines(
        folder / "p.json",
        (
            {
                "validation": {"61": "False"},
                "sentence": text,
                "left_url": url,
                "writer": "61",
                "label": "False" if index % 2 else "True",
                "right_url": url,
                "synset": "beer bottle",
                "query": "some beer bottles38",
                "identifier": f"train-{index}-0-0",
            }
            for index, text in enumerate(_texts(number, 15))
        ),
    )


def _write_snli_ve(folder: Path, number: int) -> None:
    texts = _texts(2 * number)

    def record(index: int) -> Item:
        first, second = next(texts), next(texts)
        return {
            "Flickr30K_ID": str(index // 5),
            "annotator_labels": ["neutral"],
            "captionID": f"{index // 5}.jpg#{index % 5}",
            "gold_label": "neutral",
            "pairID": f"{index // 5}.jpg#{index % 5}r1n{index}",
            "sentence1": first,
            "sentence1_binary_parse": f"( {first.replace(' ', ' ) ( ')} )",
            "sentence1_parse": f"(ROOT (S {first.replace(' ', ') (NN ')}))",
            "sentence2": second,
            "sentence2_binary_parse": f"( {second.replace(' ', ' ) ( ')} )",
            "sentence2_parse": f"(ROOT (S {second.replace(' ', ') (NN ')}))",
        }

    _dump_lines(folder / "p.jsonl", map(record, range(number)))


def _write_jsonl(folder: Path, number: int) -> None:
    texts = enumerate(_texts(number))
    _dump_lines(
        folder / "p.jsonl",
        ({"id": index, "image": f"a/{index}.jpg", "caption": text, "more": 1.5} for index, text in texts),
    )


def _write_csv(folder: Path, number: int) -> None:
    with open(folder / "p.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "image", "caption"])
        rows.writerows([index, f"a/{index}.jpg", text] for index, text in enumerate(_texts(number)))


def _write_parquet(folder: Path, number: int) -> None:
    columns = {
        "id": list(range(number)),
        "image": [f"a/{index}.jpg" for index in range(number)],
        "caption": list(_texts(number)),
    }
    pq.write_table(pa.table(columns), folder / "p.parquet", row_group_size=20_000)


def _write_parquet_pictures(folder: Path, number: int) -> None:
    number //= 10
    cells = [{"bytes": index.to_bytes(4, "big") + PICTURE, "path": f"{index}.jpg"} for index in range(number)]
    held = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(cells, held), "caption": list(_texts(number))}
    pq.write_table(pa.table(columns), folder / "p.parquet", row_group_size=1_000)


def _write_webdataset(folder: Path, number: int) -> None:
    number //= 10
    url = {"url": "https://example.org/1.jpg", "status": "success", "width": 256, "height": 256, "exif": "{}"}
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for index, text in enumerate(_texts(number)):
            about = json.dumps({"caption": text, "key": f"{index:09}", **url}).encode()
            for extension, data in (("jpg", PICTURE), ("json", about), ("txt", text.encode())):
                info = tarfile.TarInfo(f"{index:09}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def _write_imagenet(folder: Path, number: int) -> None:
    number //= 4
    classes = {str(index): [f"n{index:08}", f"class_{index}"] for index in range(100)}
    _dump(folder / "c.json", classes)
    names = [f"Klasse {index}" for index in range(100)]
    _dump(folder / "l.json", {"DE": [list(range(100)), names]})
    for synset, _ in classes.values():
        (folder / "images" / synset).mkdir()
        for index in range(number // 100):
            (folder / "images" / synset / f"{synset}_{index}.JPEG").touch()


def _write_text(folder: Path, number: int) -> None:
    with open(folder / "p.txt", "w", encoding="utf-8") as file:
        file.writelines(f"{text}\n" for text in _texts(number, 25))


# Bare parsers


def _json(*names: str) -> Callable[[Path], object]:
    return lambda folder: [orjson.loads((folder / name).read_bytes()) for name in names]


def _json_lines(name: str) -> Callable[[Path], object]:
    def bare(folder: Path) -> object:
        with open(folder / name, "rb") as file:
            return [orjson.loads(line) for line in file]

    return bare


def _bare_token(folder: Path) -> object:
    with open(folder / "a.token", encoding="utf-8") as file:
        return [line.rstrip("\n").split("\t") for line in file]


def _bare_csv(folder: Path) -> object:
    with open(folder / "p.csv", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _bare_parquet(folder: Path) -> object:
    return pq.read_table(folder / "p.parquet", use_threads=False).to_pylist()


def _bare_tar(folder: Path) -> object:
    found = []
    with tarfile.open(folder / "00000.tar") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(".txt") else None
            if file is not None:
                found.append(file.read().decode())
    return found


def _bare_walk(folder: Path) -> object:
    return [(root, sorted(files)) for root, _, files in os.walk(folder / "images")]


def _bare_text(folder: Path) -> object:
    with open(folder / "p.txt", encoding="utf-8") as file:
        return [line.strip() for line in file]


_IMAGES = {"images": "images"}

CASES = (
    Case("coco", {"format": "coco", "annotations": "a.json", **_IMAGES}, _write_coco, _json("a.json")),
    Case(
        "coco_karpathy",
        {"format": "coco", "annotations": "a.json", "splits": ["train"], **_IMAGES},
        _write_karpathy,
        _json("a.json"),
    ),
    Case("capfilt", {"format": "capfilt", "path": "p.json", **_IMAGES}, _write_capfilt, _json("p.json")),
    Case(
        "vqav2",
        {"format": "vqav2", "questions": "q.json", "annotations": "a.json", **_IMAGES},
        _write_vqav2,
        _json("q.json", "a.json"),
    ),
    Case("aokvqa", {"format": "aokvqa", "annotations": "a.json", **_IMAGES}, _write_aokvqa, _json("a.json")),
    Case("llava", {"format": "llava", "path": "p.json", **_IMAGES}, _write_llava, _json("p.json")),
    Case("gqa", {"format": "gqa", "path": "p.json", **_IMAGES}, _write_gqa, _json("p.json")),
    Case(
        "flickr30k",
        {"format": "flickr30k", "annotations": "a.token", **_IMAGES},
        _write_flickr30k,
        _bare_token,
    ),
    Case("nlvr2", {"format": "nlvr2", "path": "p.json", **_IMAGES}, _write_nlvr2, _json_lines("p.json")),
    Case(
        "snli_ve", {"format": "snli_ve", "path": "p.jsonl", **_IMAGES}, _write_snli_ve, _json_lines("p.jsonl")
    ),
    Case(
        "jsonl",
        {"format": "jsonl", "path": "p.jsonl", "tasks": ["caption"]},
        _write_jsonl,
        _json_lines("p.jsonl"),
    ),
    Case("csv", {"format": "csv", "path": "p.csv", "tasks": ["caption"]}, _write_csv, _bare_csv),
    Case(
        "parquet",
        {"format": "parquet", "path": "p.parquet", "tasks": ["caption"]},
        _write_parquet,
        _bare_parquet,
    ),
    Case(
        "parquet_pictures",
        {"format": "parquet", "path": "p.parquet", "tasks": ["caption"]},
        _write_parquet_pictures,
        _bare_parquet,
    ),
    Case(
        "webdataset",
        {"format": "webdataset", "path": "*.tar", "tasks": ["caption"]},
        _write_webdataset,
        _bare_tar,
    ),
    Case(
        "imagenet",
        {"format": "imagenet", "classes": "c.json", "labels": "l.json", **_IMAGES},
        _write_imagenet,
        _bare_walk,
    ),
    Case("text", {"format": "text", "path": "p.txt"}, _write_text, _bare_text),
)


if __name__ == "__main__":
    sys.exit(main())
