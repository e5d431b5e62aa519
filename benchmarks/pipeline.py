"""What the pipeline itself costs: `translate-mix run` on captions, with an engine that takes no time.

    python benchmarks/pipeline.py [--quick] [--rows N] [--model DIR]

Reads captions of pictures in MSCOCO's layout (five a picture), checks the pictures, translates with a table
of words in place of a model, judges and writes the mix, and remembers every translation. `peak_mib` is of all
processes together. With `--model` a second run, of few rows, has that model translate them: `overhead` is
what the run takes beyond its engine's own time. The last line of standard output is one JSON object.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from memory import resident_mib
from PIL import Image
from rich.console import Console

from pipelines.recipe import load_recipe
from pipelines.run import run_mix
from translation.engine import Engine
from translation.translations import Request, Translation

ROWS, QUICK_ROWS = 1_000_000, 50_000
MODEL_ROWS = 500
MODEL_TOKENS = 20
"""Of a translation: a model with random weights would not end."""
CAPTIONS = 5
"""Of a picture."""
POLL_SECONDS = 0.2

_CODES = ("eng_Latn", "deu_Latn", "fra_Latn", "spa_Latn", "ita_Latn", "rus_Cyrl")
_WORDS = """
a|ein|un|un|un|один
man|Mann|homme|hombre|uomo|мужчина
woman|Frau|femme|mujer|donna|женщина
dog|Hund|chien|perro|cane|собака
cat|Katze|chat|gato|gatto|кошка
child|Kind|enfant|niño|bambino|ребёнок
horse|Pferd|cheval|caballo|cavallo|лошадь
bird|Vogel|oiseau|pájaro|uccello|птица
house|Haus|maison|casa|casa|дом
street|Straße|rue|calle|strada|улица
table|Tisch|table|mesa|tavolo|стол
chair|Stuhl|chaise|silla|sedia|стул
window|Fenster|fenêtre|ventana|finestra|окно
tree|Baum|arbre|árbol|albero|дерево
water|Wasser|eau|agua|acqua|вода
field|Feld|champ|campo|campo|поле
city|Stadt|ville|ciudad|città|город
bench|Bank|banc|banco|panchina|скамейка
bicycle|Fahrrad|vélo|bicicleta|bicicletta|велосипед
train|Zug|train|tren|treno|поезд
red|rot|rouge|rojo|rosso|красный
green|grün|vert|verde|verde|зелёный
white|weiß|blanc|blanco|bianco|белый
black|schwarz|noir|negro|nero|чёрный
small|klein|petit|pequeño|piccolo|маленький
large|groß|grand|grande|grande|большой
old|alt|vieux|viejo|vecchio|старый
young|jung|jeune|joven|giovane|молодой
sits|sitzt|est assis|se sienta|siede|сидит
stands|steht|est debout|está|sta|стоит
plays|spielt|joue|juega|gioca|играет
eats|isst|mange|come|mangia|ест
looks|schaut|regarde|mira|guarda|смотрит
with|mit|avec|con|con|с
near|neben|près de|cerca de|vicino a|рядом
under|unter|sous|bajo|sotto|под
and|und|et|y|e|и
"""
_TABLE = [line.split("|") for line in _WORDS.strip().splitlines()]
_ENGLISH = [line[0] for line in _TABLE]
_TRANSLATED = {
    code: dict(zip(_ENGLISH, (line[index] for line in _TABLE), strict=True))
    for index, code in enumerate(_CODES)
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROWS:,} rows")
    parser.add_argument("--rows", type=int, help=f"default {ROWS:,}")
    parser.add_argument("--model", type=Path, help="a converted model, for `overhead`")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where the data goes and stays")
    parser.add_argument("--worker", choices=("words", "model"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return _work(arguments.worker, arguments.keep)
    rows = arguments.rows or (QUICK_ROWS if arguments.quick else ROWS)
    with tempfile.TemporaryDirectory() as made:
        folder: Path = arguments.keep or Path(made)
        make_recipe(folder / "words", rows, {"model": "small"})
        done = _measured("words", folder / "words")
        rate = rows / done["cpu_s"]
        figures = {
            "rows": rows,
            "accepted": done["accepted"],
            "seconds": round(done["seconds"], 1),
            "cpu_seconds": round(done["cpu_s"], 1),
            "rows_per_second_per_core": round(rate),
            "peak_mib": round(done["peak_mib"]),
        }
        if arguments.model:
            translation = {"max_output_tokens": MODEL_TOKENS, "second_tries": 0}
            changed = {
                "model": str(arguments.model.resolve()),
                "translation": translation,
                "shortlists": False,
            }
            make_recipe(folder / "model", MODEL_ROWS, changed)
            done = _measured("model", folder / "model")
            figures["overhead"] = round(done["seconds"] / done["engine_s"] - 1, 4)
            figures["engine_seconds"] = round(done["engine_s"], 1)
    print(json.dumps(figures))
    return 0


def make_recipe(folder: Path, rows: int, settings: dict[str, Any]) -> None:
    """Captions, pictures and a recipe with these keys."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = random.Random(17)
    pictures = -(-rows // CAPTIONS)
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number in range(pictures):
            buffer = io.BytesIO()
            colour = (draw.randrange(256), draw.randrange(256), draw.randrange(256))
            Image.new("RGB", (64, 64), colour).save(buffer, "JPEG")
            # Pictures of one colour may be equal; what follows the end mark makes the bytes differ.
            archive.writestr(f"{number:012d}.jpg", buffer.getvalue() + number.to_bytes(4, "big"))
    images = [{"id": number, "file_name": f"{number:012d}.jpg"} for number in range(pictures)]
    annotations = [
        {"id": number, "image_id": number // CAPTIONS, "caption": _caption(draw)} for number in range(rows)
    ]
    content = {"images": images, "annotations": annotations}
    (folder / "captions.json").write_text(json.dumps(content), encoding="utf-8")
    recipe = {
        "name": "pipeline",
        **settings,
        "round_trip": "none",
        "languages": {"english_share": 0.0, "codes": list(_CODES[1:])},
        "sources": [
            {
                "name": "coco",
                "format": "coco",
                "annotations": "captions.json",
                "images": "images.zip",
                "tasks": ["caption"],
            }
        ],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")


def _caption(draw: random.Random) -> str:
    words = [draw.choice(_ENGLISH) for _ in range(draw.randrange(6, 13))]
    return f"{' '.join(words).capitalize()}."


def _measured(worker: str, folder: Path) -> dict[str, float]:
    """What a run in a process of its own took."""
    # A run would go on from what an earlier call kept.
    shutil.rmtree(folder / "mix", ignore_errors=True)
    command = [sys.executable, __file__, "--worker", worker, "--keep", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, resident_mib(process.pid))
            time.sleep(POLL_SECONDS)
        output = process.stdout.read() if process.stdout else ""
    if process.returncode:
        raise SystemExit(f"the run failed: {output}")
    done: dict[str, float] = json.loads(output.splitlines()[-1])
    return done | {"peak_mib": peak}


def _work(worker: str, folder: Path) -> int:
    """One run; prints what it took."""
    engine_s = 0.0
    translate = Engine.translate

    def words(self: Engine, requests: Sequence[Request], **_: bool) -> list[Translation]:
        return [_by_words(request) for request in requests]

    def timed(self: Engine, requests: Sequence[Request], **options: bool) -> list[Translation]:
        nonlocal engine_s
        began = time.monotonic()
        made = translate(self, requests, **options)
        engine_s += time.monotonic() - began
        return made

    recipe = load_recipe(folder / "recipe.yaml", [])
    began = time.monotonic()
    with mock.patch.object(Engine, "translate", words if worker == "words" else timed):
        manifest = run_mix(recipe, str(folder / "mix"), [], Console(file=io.StringIO()), quiet=True)
    seconds = time.monotonic() - began
    spent = os.times()
    cpu = spent.user + spent.system + spent.children_user + spent.children_system
    assert manifest is not None
    print(json.dumps({"seconds": seconds, "cpu_s": cpu, "engine_s": engine_s, "accepted": manifest.accepted}))
    return 0


def _by_words(request: Request) -> Translation:
    table = _TRANSLATED[request.target]
    words = [table[word] for word in request.text.removesuffix(".").lower().split()]
    text = " ".join(words)
    return Translation(f"{text[0].upper()}{text[1:]}.", -0.5, cut_off=False, unknown=False, empty=False)


if __name__ == "__main__":
    sys.exit(main())
