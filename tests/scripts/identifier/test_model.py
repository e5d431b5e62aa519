"""The identifier that ships knows the default languages, names clear sentences, and stays small."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from translation.identification import normalised
from translation.languages import default_languages

fasttext = pytest.importorskip("fasttext")

FOLDER = Path(__file__).resolve().parents[3] / "translation" / "models" / "identifier"
MODEL = FOLDER / "identifier.ftz"
UDHR = Path(__file__).resolve().parents[4] / "shared" / "data" / "udhr.parquet"

SENTENCES = {
    "eng_Latn": "Two small dogs are sleeping under the kitchen table.",
    "deu_Latn": "Zwei kleine Hunde schlafen unter dem Küchentisch.",
    "fra_Latn": "Deux petits chiens dorment sous la table de la cuisine.",
    "spa_Latn": "Dos perros pequeños duermen debajo de la mesa de la cocina.",
    "ita_Latn": "Due piccoli cani dormono sotto il tavolo della cucina.",
    "nld_Latn": "Twee kleine honden slapen onder de keukentafel.",
    "pol_Latn": "Dwa małe psy śpią pod stołem w kuchni.",
    "fin_Latn": "Kaksi pientä koiraa nukkuu keittiön pöydän alla.",
    "hun_Latn": "Két kis kutya alszik a konyhaasztal alatt.",
    "tur_Latn": "İki küçük köpek mutfak masasının altında uyuyor.",
    "vie_Latn": "Hai con chó nhỏ đang ngủ dưới bàn bếp.",
    "swh_Latn": "Mbwa wawili wadogo wanalala chini ya meza ya jikoni.",
    "rus_Cyrl": "Две маленькие собаки спят под кухонным столом.",
    "ukr_Cyrl": "Два маленькі собаки сплять під кухонним столом.",
    "bul_Cyrl": "Две малки кучета спят под кухненската маса.",
    "ell_Grek": "Δύο μικρά σκυλιά κοιμούνται κάτω από το τραπέζι της κουζίνας.",
    "arb_Arab": "كلبان صغيران ينامان تحت طاولة المطبخ.",
    "pes_Arab": "دو سگ کوچک زیر میز آشپزخانه خوابیده‌اند.",
    "heb_Hebr": "שני כלבים קטנים ישנים מתחת לשולחן המטבח.",
    "hin_Deva": "दो छोटे कुत्ते रसोई की मेज के नीचे सो रहे हैं।",
    "ben_Beng": "রান্নাঘরের টেবিলের নিচে দুটি ছোট কুকুর ঘুমাচ্ছে।",
    "tam_Taml": "இரண்டு சிறிய நாய்கள் சமையலறை மேசையின் கீழ் தூங்குகின்றன.",
    "tha_Thai": "สุนัขตัวเล็กสองตัวนอนอยู่ใต้โต๊ะในครัว",
    "jpn_Jpan": "小さな犬が二匹、台所のテーブルの下で眠っています。",
    "zho_Hans": "两只小狗在厨房的桌子下面睡觉。",
    "kor_Hang": "작은 개 두 마리가 부엌 식탁 아래에서 자고 있습니다.",
    "kat_Geor": "ორი პატარა ძაღლი სამზარეულოს მაგიდის ქვეშ სძინავს.",
    "hye_Armn": "Երկու փոքր շուն քնած են խոհանոցի սեղանի տակ։",
    "amh_Ethi": "ሁለት ትናንሽ ውሾች ከጠረጴዛው ሥር ተኝተዋል።",
}
NAMES = {
    "deu_Latn": "ein rotes Fahrrad",
    "fra_Latn": "le chien noir",
    "pol_Latn": "żółty samochód",
    "ces_Latn": "žlutý autobus",
    "ell_Grek": "κόκκινο σπίτι",
    "rus_Cyrl": "красный велосипед",
    "heb_Hebr": "כלב קטן",
    "kor_Hang": "빨간 자전거",
    "jpn_Jpan": "赤い自転車",
    "tha_Thai": "รถจักรยานสีแดง",
}


@pytest.fixture(scope="module")
def model() -> fasttext.FastText._FastText:
    return fasttext.load_model(str(MODEL))


def named(model: fasttext.FastText._FastText, text: str) -> str:
    labels, _ = model.predict(normalised(text), 1)
    return str(labels[0]).removeprefix("__label__")


def test_all_default_languages_have_a_label(model: fasttext.FastText._FastText) -> None:
    labels, _ = model.predict("a", -1, -1.0)
    known = {label.removeprefix("__label__") for label in labels}
    assert {language.nllb for language in default_languages()} <= known
    assert {"nno_Latn", "hrv_Latn", "bos_Latn", "srp_Latn", "zho_Hant", "ckb_Arab", "yue_Hant"} <= known
    assert all(re.fullmatch("[a-z]{3}_[A-Z][a-z]{3}", label) for label in known)


@pytest.mark.parametrize("code", SENTENCES)
def test_sentences(model: fasttext.FastText._FastText, code: str) -> None:
    assert named(model, SENTENCES[code]) == code


@pytest.mark.parametrize("code", NAMES)
def test_short_names(model: fasttext.FastText._FastText, code: str) -> None:
    assert named(model, NAMES[code]) == code


def test_case_composition_and_line_breaks_make_no_difference(model: fasttext.FastText._FastText) -> None:
    assert named(model, SENTENCES["deu_Latn"].upper()) == "deu_Latn"
    assert named(model, SENTENCES["vie_Latn"].replace(" ", "\n")) == "vie_Latn"
    assert normalised("o\u0323\u0300") == normalised("\u1ecd\u0300")


@pytest.mark.skipif(not UDHR.exists(), reason="needs the Declaration in shared/data")
def test_held_out_articles_of_the_declaration(model: fasttext.FastText._FastText) -> None:
    import pyarrow.parquet as parquet

    rows = [row for row in parquet.read_table(UDHR).to_pylist() if row["article"] in (28, 29, 30)]
    wrong = [row["nllb_code"] for row in rows if named(model, row["text"]) != row["nllb_code"]]
    assert len(wrong) <= len(rows) * 0.02, wrong


def test_the_card_describes_this_file() -> None:
    data = MODEL.read_bytes()
    assert len(data) <= 10_000_000
    card = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(data).hexdigest() in card
    recipe = json.loads((FOLDER / "identifier.json").read_text(encoding="utf-8"))
    assert recipe["sha256"] == hashlib.sha256(data).hexdigest()
    assert recipe["bytes"] == len(data)
