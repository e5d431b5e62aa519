"""Fidelity: outputs in another language or script count as such, siblings and numbers do not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import regex

from evaluation.fidelity import fidelity
from tests.evaluation.conftest import item
from translation.identification import SHIPPED, load_identifier
from translation.languages import languages, resolve

SHARED = Path(__file__).parents[3] / "shared" / "data" / "eval" / "xflickrco" / "annotations"

DANISH = "En hund løber på græsset foran et hvidt hegn ved siden af huset"


def shares(*pairs: tuple[str, str]) -> dict[str, float]:
    items = [item(text, "x", language=language, name=str(at)) for at, (text, language) in enumerate(pairs)]
    return {one.name: float(one.value(one.statistics.sum(axis=0))) for one in fidelity(items)}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Ein Hund läuft auf grünem Rasen vor einem weißen Zaun.", "deu_Latn"),
        ("Собака бежит по зелёной траве перед забором", "rus_Cyrl"),
        ("一只在草地上奔跑的宠物狗和一个孩子", "zho_Hans"),
        ("A dog runs on the green grass in front of a fence.", "eng_Latn"),
    ],
)
def test_captions_in_their_language_are_faithful(text: str, language: str) -> None:
    assert shares((text, language)) == {"fidelity": 100, "fidelity.strict": 100, "fidelity.judged": 100}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("A dog runs on the green grass in front of a fence.", "deu_Latn"),
        ("Ein Hund läuft auf grünem Rasen vor einem Zaun.", "eng_Latn"),
        ("Sobaka bezhit po zelyonoy trave pered zaborom", "rus_Cyrl"),
        ("Собака бежит по зелёной траве перед забором", "ell_Grek"),
        ("qx zzv wkj xq vvz kkq", "tur_Latn"),
        ("", "deu_Latn"),
        ("  ", "deu_Latn"),
    ],
)
def test_another_language_or_script_and_nothing_are_not_faithful(text: str, language: str) -> None:
    assert shares((text, language))["fidelity"] == 0


def test_siblings_count_as_the_language_and_strictly_do_not() -> None:
    found = shares((DANISH, "nob_Latn"))
    assert found["fidelity"] == 100
    assert found["fidelity.strict"] == 0


def test_numbers_are_in_every_language() -> None:
    found = shares(("3", "deu_Latn"), (DANISH, "dan_Latn"))
    assert found == {"fidelity": 100, "fidelity.strict": 100, "fidelity.judged": 50}
    assert shares(("3", "deu_Latn"))["fidelity"] != shares(("3", "deu_Latn"))["fidelity"]  # NaN


def test_languages_that_the_identifier_cannot_name_are_judged_by_their_script_alone() -> None:
    known = load_identifier(SHIPPED).languages()
    others = (one for code, one in languages().items() if code not in known)
    unknown = next(one for one in others if "Latin" not in one.scripts)
    found = shares(("A dog runs on the green grass.", unknown.nllb))
    assert (found["fidelity"], found["fidelity.judged"]) == (0, 100)
    script = regex.compile(rf"\p{{Script={unknown.scripts[0]}}}")
    letters = [letter for letter in map(chr, range(0xD800)) if script.match(letter) and letter.isalpha()]
    assert shares(("".join(letters[:30]), unknown.nllb))["fidelity.judged"] == 0


def test_the_signature_names_identifier_and_thresholds() -> None:
    (measure, *_) = fidelity([item("Hallo", "x", language="deu_Latn")])
    assert measure.signature.startswith("fidelity|lid:fasttext-shipped-")
    assert "|thresholds:" in measure.signature


@pytest.mark.skipif(not SHARED.exists(), reason="needs the captions of xFlickrCO")
@pytest.mark.parametrize("name", ["de", "en", "es", "id", "ja", "ru", "tr", "zh"])
def test_peoples_captions_are_nearly_all_faithful(name: str) -> None:
    """The rest are English captions in Spanish, traditional characters in Chinese, and names."""
    lines = (SHARED / name / "test.jsonl").read_text(encoding="utf-8").splitlines()
    pairs = [(json.loads(line)["sentences"][0], resolve(name).nllb) for line in lines]
    assert shares(*pairs)["fidelity"] > (97 if name == "zh" else 98.5)


@pytest.mark.parametrize(
    "text",
    ["\ufffd\ufffd", "...", "🐕", "<unk>", " ⁇ ", "🐕 3", "Ein Hund\ufffd auf der Wiese.", "ein <unk> Hund"],
)
def test_signs_that_are_no_text_are_unfaithful(text: str) -> None:
    assert shares((text, "deu_Latn")) == {"fidelity": 0, "fidelity.strict": 0, "fidelity.judged": 100}


@pytest.mark.parametrize("text", ["3", "50%", "-5.5", "10:30", "2 + 2", "$ 5", "20°", "۳", "1/2"])
def test_only_numbers_cannot_be_judged(text: str) -> None:
    assert shares((text, "deu_Latn"))["fidelity.judged"] == 0


def test_english_answers_are_judged_as_english() -> None:
    text = "A dog runs on the green grass in front of a fence."
    one = item(text, "x", language="deu_Latn", answered_in="eng_Latn")
    (measure, *_) = fidelity([one])
    assert float(measure.value(measure.statistics.sum(axis=0))) == 100
    assert measure.signature.endswith("rev:2")
