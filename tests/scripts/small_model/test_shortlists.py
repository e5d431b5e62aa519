"""The script that gives the small model its shortlists: lists from names, and what they change."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.resources import files
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scripts.small_model import shortlists
from scripts.small_model.data import SCHEMA
from scripts.small_model.measure import Pair
from translation.decoder import Threads
from translation.engine import Engine
from translation.languages import ENGLISH
from translation.model import SMALL, model_directory, read_description
from translation.shortlists import read_shortlists

MODEL = model_directory(SMALL)
CODES = ("kat_Geor", "deu_Latn")


@pytest.fixture(scope="module")
def names() -> list[str]:
    captions = json.loads(files("pipelines").joinpath("sample", "captions.json").read_text(encoding="utf-8"))
    return sorted({entry["caption"] for entry in captions["annotations"]})[:60]


def test_own_translations_are_by_target_and_go_both_ways() -> None:
    pairs = [Pair("dog", "deu_Latn", "Hund"), Pair("red heart", "swh_Latn", "moyo mwekundu")]
    with Engine(MODEL, shortlists.GREEDY, threads=Threads(intra=1)) as engine:
        made = shortlists.own_translations(engine, pairs)
    assert made == {"deu_Latn": ["Hund"], "swh_Latn": ["moyo mwekundu"], ENGLISH: ["dog"]}


def test_agreement_without_a_list_is_whole() -> None:
    pairs = [Pair("dog", "deu_Latn", "Hund"), Pair("bicycle", "deu_Latn", "Rad")]
    with Engine(MODEL, shortlists.DECODING, threads=Threads(intra=1), shortlist=False) as engine:
        found = shortlists.agreement(engine, pairs)
    assert (found.names, found.same) == (2, 1.0)
    assert found.chrf_full == found.chrf_shortlist
    assert 0 < found.chrf_full < 100


def test_a_model_gets_lists_and_figures(
    names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(MODEL, model)
    rows = [
        {"source": name, "target": "X", "nllb_code": code, "origin": "cldr-names", "licence": "CC0-1.0",
         "kind": "name", "split": "train" if place else "held_out"}
        for place, name in enumerate(names)
        for code in CODES
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), tmp_path / "pairs.parquet")
    arguments = ["shortlists.py", "--data", str(tmp_path / "pairs.parquet"), "--model", str(model)]
    monkeypatch.setattr(sys, "argv", arguments)
    shortlists.main()
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    report = read_shortlists(model, read_description(model))
    assert report is not None
    # Georgian needs no texts; German needs more than these.
    assert report.languages - {ENGLISH} == {"kat_Geor"}
    assert list(printed["languages"]) == ["kat_Geor"]
    assert printed["languages"]["kat_Geor"]["taught"]["names"] == len(names) - 1
    assert printed["languages"]["kat_Geor"]["held_out"]["names"] == 1
    assert 0.9 < printed["taught_same"] <= 1
