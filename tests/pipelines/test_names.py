"""Names of classes in many languages; what is no name in a language is not used for it."""

from __future__ import annotations

import csv
import json
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.names import NameTable, names_of
from pipelines.recipe import Recipe, SettingsError, load_recipe
from translation.languages import ENGLISH, default_languages

CLASSES = {
    "0": ["n01440764", "tench"],
    "1": ["n02012849", "crane"],
    "2": ["n03126707", "crane"],
    "3": ["n02113186", "Cardigan"],
    "4": ["n02963159", "cardigan"],
    "5": ["n01484850", "great_white_shark"],
}
BABEL = Path(__file__).parents[3] / "shared" / "data" / "eval" / "babel_imagenet" / "babel_imagenet-298.json"

MakeTable = Callable[..., NameTable]


def recipe_of(folder: Path, classes: Any, labels: Any) -> Recipe:
    (folder / "images").mkdir(exist_ok=True)
    for name, value in (("classes.json", classes), ("labels.json", labels)):
        content = value if isinstance(value, str) else json.dumps(value)
        (folder / name).write_text(content, encoding="utf-8")
    source = {"name": "s", "format": "imagenet", "images": "images"}
    source |= {"classes": "classes.json", "labels": "labels.json"}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({"name": "r", "sources": [source]}))
    return load_recipe(path)


@pytest.fixture
def make_table(tmp_path: Path) -> MakeTable:
    """The table of these labels by code, and of six classes."""

    def make(classes: Any = CLASSES, **labels: Any) -> NameTable:
        return names_of(recipe_of(tmp_path, classes, labels or {"DE": [[], []]}), 0)

    return make


def test_labels_are_found_by_class_and_language(make_table: MakeTable) -> None:
    table = make_table(DE=[[0, 5], ["Schleie", "Weißer Hai"]], FI=[[0], ["suutari"]])
    assert table.keys() == ("0", "1", "2", "3", "4", "5")
    assert table.label("0", "deu_Latn") == "Schleie"
    assert table.label("0", "fin_Latn") == "suutari"
    assert table.label("1", "deu_Latn") is None
    assert table.label("9", "deu_Latn") is None
    assert table.languages("0") == {"eng_Latn", "deu_Latn", "fin_Latn"}
    assert table.languages("1") == {"eng_Latn"}
    assert table.counts() == {"deu_Latn": 2, "eng_Latn": 6, "fin_Latn": 1}
    assert table.synsets["n01484850"] == "5"


def test_english_names_are_the_common_ones_of_the_class_index(make_table: MakeTable) -> None:
    table = make_table(EN=[[0, 5], ["Tinca tinca", "man-eating shark"]])
    assert [table.label(key, ENGLISH) for key in ("0", "5")] == ["tench", "great white shark"]


@pytest.mark.parametrize(
    ("code", "label", "language"),
    [
        ("NO", "suter", "nob_Latn"),
        ("TL", "lintahan", "tgl_Latn"),
        ("KU", "masî", "kmr_Latn"),
        ("KMR", "masî", "kmr_Latn"),
        ("HE", "אמנון", "heb_Hebr"),
        ("IW", "אמנון", "heb_Hebr"),
        ("SQ", "tenka", "als_Latn"),
        ("MN", "загас", "khk_Cyrl"),
        ("FA", "کوسه", "pes_Arab"),
        ("MS", "ikan", "zsm_Latn"),
        ("LV", "līnis", "lvs_Latn"),
        ("JV", "iwak", "jav_Latn"),
        ("YI", "פיש", "ydd_Hebr"),
        ("ZH", "丁鱥科", "zho_Hans"),
    ],
)
def test_codes_are_those_of_the_registry(make_table: MakeTable, code: str, label: str, language: str) -> None:
    assert make_table(**{code: [[0], [label]]}).label("0", language) == label


def test_alemannic_is_not_albanian_and_unknown_codes_are_left(make_table: MakeTable) -> None:
    table = make_table(ALS=[[0], ["Schleije"]], SIMPLE=[[0], ["a fish"]], BAT_SMG=[[0], ["līns"]])
    assert table.languages("0") == {ENGLISH}


def test_the_code_of_the_language_itself_comes_before_one_that_it_shares(make_table: MakeTable) -> None:
    for codes in (("KU", "KMR"), ("KMR", "KU")):
        labels = {"KU": [[0, 1], ["shared", "quling"]], "KMR": [[0], ["own"]]}
        table = make_table(**{code: labels[code] for code in codes})
        assert (table.label("0", "kmr_Latn"), table.label("1", "kmr_Latn")) == ("own", "quling")


@pytest.mark.parametrize(
    ("code", "wrong", "right", "language"),
    [
        ("SR", "linjak", "лињак", "srp_Cyrl"),
        ("KU", "ماسی", "masî", "kmr_Latn"),
        ("MN", "ᠵᠥᠭᠡᠢ", "зөгий", "khk_Cyrl"),
        ("JA", "Tinca tinca", "テンチ", "jpn_Jpan"),
        ("JA", "バンケン科 (Sibley) x", "バンケン科", "jpn_Jpan"),
        ("ZH", "鴕鳥", "鸵鸟", "zho_Hans"),
        (
            "ZH",
            "一二三四五六七八九十一二三四五六七八九十鴕",
            "一二三四五六七八九十一二三四五六七八九十鸵",
            "zho_Hans",
        ),
        ("ZH", "鸵鸟", "鴕鳥", "zho_Hant"),
        ("UZ", "балиқ", "bo\u02bbri", "uzn_Latn"),
        ("KO", "洋服", "양복", "kor_Hang"),
    ],
)
def test_a_label_in_another_script_is_none(
    make_table: MakeTable, code: str, wrong: str, right: str, language: str
) -> None:
    table = make_table(**{code: [[0, 1], [wrong, right]]})
    assert table.label("0", language) is None
    assert table.label("1", language) == right


def test_names_that_english_writes_so_too_are_in_any_script(make_table: MakeTable) -> None:
    classes = {"0": ["n03584254", "iPod"], "1": ["n03594734", "jean"]}
    assert make_table(classes, RU=[[0], ["iPod"]]).label("0", "rus_Cyrl") == "iPod"


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("chihuahua (chien)", "chihuahua"),
        ("  grand  requin ", "grand requin"),
        ("requin\u200e", "requin"),
        ("requin\u200c", "requin"),
        ("e\u0301cran", "écran"),
        ("!paon", "paon"),
        ("[[wandelende]] [[tak]]", None),
        ("Libro di cucina/Ricette", None),
        ("", None),
        (" (chien)", None),
        ("x" * 61, None),
    ],
)
def test_labels_are_words_without_what_wikipedia_adds(
    make_table: MakeTable, written: str, label: str | None
) -> None:
    assert make_table(FR=[[0], [written]]).label("0", "fra_Latn") == label


@pytest.mark.parametrize(
    ("code", "language", "written", "label"),
    [
        ("RU", "rus_Cyrl", "больша\u0301я бе\u0301лая аку\u0301ла", "большая белая акула"),
        ("RU", "rus_Cyrl", "чёрный ёж", "чёрный ёж"),
        ("HE", "heb_Hebr", "נְיַר טוֹאָלֵט", "ניר טואלט"),
        ("YI", "ydd_Hebr", "קאַץ", "קאַץ"),
        ("AR", "arb_Arab", "وَرَق اَلْحَمَّام", "ورق الحمام"),
        ("UR", "urd_Arab", "اعلیٰ", "اعلیٰ"),
    ],
)
def test_labels_have_no_marks_that_only_dictionaries_write(
    make_table: MakeTable, code: str, language: str, written: str, label: str
) -> None:
    found = make_table(**{code: [[0], [written]]}).label("0", language)
    assert found == unicodedata.normalize("NFC", label)


def test_classes_are_alike_that_share_a_label_in_some_language(make_table: MakeTable) -> None:
    table = make_table(
        FR=[[0, 5], ["boîte (meuble)", "Boîte"]],
        ALS=[[3, 5], ["Same", "same"]],
        ZH=[[1, 0], ["鴕鳥", "鴕鳥"]],
        DE=[[1], ["tench"]],
    )
    keys = table.keys()
    alike = {(a, b) for a in keys for b in keys if a < b and table.alike(a, b)}
    # 1 and 2 are both a crane, 3 and 4 differ by a capital; labels that no language uses count too; a word
    # that means something else in another language does not.
    assert alike == {("1", "2"), ("3", "4"), ("0", "5"), ("3", "5"), ("0", "1")}
    assert all(table.alike(b, a) for a, b in alike)
    assert all(table.alike(key, key) for key in keys)


def groups() -> list[dict[str, str]]:
    text = files("pipelines").joinpath("imagenet_alike.tsv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


def grouped() -> dict[int, tuple[str, str]]:
    """Index in ImageNet -> WordNet's id and name of each class that is in a group."""
    found: dict[int, set[tuple[str, str]]] = defaultdict(set)
    for row in groups():
        parts = row["indices"].split(), row["synsets"].split(), row["names"].split(", ")
        for index, *what in zip(*parts, strict=True):
            found[int(index)].add((what[0], what[1]))
    assert [index for index, names in found.items() if len(names) > 1] == []
    return {index: names.pop() for index, names in sorted(found.items())}


def test_groups_of_classes_are_well_formed() -> None:
    rows = groups()
    assert {row["origin"] for row in rows} == {"own", "real"}
    indices = [tuple(map(int, row["indices"].split())) for row in rows]
    assert all(len(group) > 1 and list(group) == sorted(set(group)) for group in indices)
    assert len(set(indices)) == len(indices)
    classes = grouped()
    assert 0 <= min(classes) <= max(classes) <= 999
    # ImageNet numbers its classes in the order of WordNet's ids.
    synsets = [synset for synset, _ in classes.values()]
    assert synsets == sorted(set(synsets))
    assert all(re.fullmatch(r"n\d{8}", synset) for synset in synsets)


@pytest.mark.parametrize(
    ("alike", "names"),
    [
        (True, "tusker, African elephant, Indian elephant"),
        (True, "monitor, screen, desktop computer, television"),
        (True, "notebook, laptop"),
        (True, "missile, projectile"),
        (True, "sunglass, sunglasses"),
        (True, "bathtub, tub"),
        (True, "maillot, bikini"),
        (True, "beach wagon, cab, convertible, jeep, limousine, minivan, pickup, racer, sports car, Model T"),
        (True, "car wheel, grille, convertible"),
        (True, "seashore, sandbar, lakeside, promontory, cliff"),
        (True, "valley, alp"),
        (True, "cup, coffee mug, espresso"),
        (True, "computer keyboard, typewriter keyboard, space bar"),
        (True, "corn, ear"),
        (True, "tabby, tiger cat, Egyptian cat"),
        (True, "cock, hen"),
        (True, "tape player, cassette player, radio"),
        (True, "rifle, assault rifle"),
        (True, "beer bottle, wine bottle, pop bottle, water bottle"),
        (True, "water jug, pitcher"),
        (True, "church, monastery, bell cote, dome, mosque"),
        (True, "academic gown, mortarboard"),
        (True, "analog clock, wall clock, digital clock"),
        (True, "library, bookcase, bookshop"),
        (True, "stage, microphone"),
        (True, "plate, dining table, restaurant"),
        (True, "cellular telephone, dial telephone, pay-phone"),
        (True, "agaric, mushroom, bolete"),
        (False, "cock, tub, church, espresso, tusker, sandbar, rifle, tabby"),
        (False, "goldfinch, limousine, bolete, bikini, dome, hen, radio"),
    ],
)
def test_classes_of_one_group_are_alike_and_others_are_not(
    make_table: MakeTable, alike: bool, names: str
) -> None:
    # In an order that is not ImageNet's: the ids count.
    entries = sorted(grouped().values(), key=lambda entry: entry[1])
    table = make_table({str(key): [synset, f"{name} {synset}"] for key, (synset, name) in enumerate(entries)})
    keys = {name: str(key) for key, (_, name) in enumerate(entries)}
    chosen = [keys[name] for name in names.split(", ")]
    found = {table.alike(a, b) for a in chosen for b in chosen if a != b}
    assert found == {alike}


@pytest.mark.skipif(not BABEL.exists(), reason="needs Babel-ImageNet's labels")
def test_names_of_groups_are_those_of_their_indices() -> None:
    english = dict(zip(*json.loads(BABEL.read_text())["EN"], strict=True))
    classes = grouped()
    # BabelNet has another synonym of WordNet's for the rest; off by one, next to none would be the same.
    same = sum(english[index].casefold() == name.casefold() for index, (_, name) in classes.items())
    assert same / len(classes) > 0.7
    assert sum(english.get(index + 1) == name for index, (_, name) in classes.items()) < 5


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([["Schleie"]], "labels.json is \"[['Schleie']]\"; must be an object"),
        ({}, "labels.json has no language"),
        ("{", "labels.json is no JSON"),
        ({"DE": {"0": "Schleie"}}, "labels.json: 'DE' is \"{'0': 'Schleie'}\"; must be as {\"DE\": [[0, 7"),
        ({"DE": [[0], ["a"], []]}, "labels.json: 'DE' is "),
        ({"DE": [[0, 1], ["Schleie"]]}, "'DE' has 2 class indices and 1 labels; must be a label for each"),
        ({"DE": [[6], ["x"]]}, "'DE' has the class index '6'; must be a whole number from 0 to 5"),
        ({"DE": [[-1], ["x"]]}, "has the class index '-1'"),
        ({"DE": [["0"], ["x"]]}, "has the class index '0'"),
        ({"DE": [[True], ["x"]]}, "has the class index 'True'"),
        ({"DE": [[0], [None]]}, "'DE', class 0: 'None' is no text"),
    ],
)
def test_labels_of_another_layout_are_a_wrong_recipe(tmp_path: Path, labels: Any, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        names_of(recipe_of(tmp_path, CLASSES, labels), 0)
    assert words in str(caught.value)
    assert caught.value.key == "sources.0.labels"


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ([], "classes.json is '[]'; must be an object"),
        ({}, "classes.json has no class '0'"),
        ({"0": "tench"}, "class '0' is 'tench'; must be as {\"0\": [\"n01440764\""),
        ({"0": ["tench", "n01440764"]}, "class '0' is"),
        ({"0": ["n01440764", ""]}, "class '0' has no name"),
        ({"1": ["n01440764", "tench"]}, "has no class '0'"),
        ({"0": ["n01440764", "a"], "2": ["n01440765", "b"]}, "has no class '1'"),
        ({"0": ["n01440764", "a"], "1": ["n01440764", "b"]}, "n01440764 stands there for 2 classes"),
    ],
)
def test_classes_of_another_layout_are_a_wrong_recipe(tmp_path: Path, classes: Any, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        names_of(recipe_of(tmp_path, classes, {"DE": [[0], ["x"]]}), 0)
    assert words in str(caught.value)
    assert caught.value.key == "sources.0.classes"


def test_a_table_is_read_once_until_its_file_changes(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, CLASSES, {"DE": [[0], ["Schleie"]]})
    first = names_of(recipe, 0)
    assert names_of(recipe, 0) is first
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"DE": [[0], ["Schleia"]]}))
    os.utime(path, ns=(0, 0))
    assert names_of(recipe, 0).label("0", "deu_Latn") == "Schleia"


@pytest.mark.skipif(not BABEL.exists(), reason="needs Babel-ImageNet's labels")
def test_every_default_language_has_names(tmp_path: Path) -> None:
    labels = json.loads(BABEL.read_text())
    classes = {str(number): [f"n{number:08}", word] for number, word in zip(*labels["EN"], strict=True)}
    counts = names_of(recipe_of(tmp_path, classes, labels), 0).counts()
    assert {language.nllb for language in default_languages()} <= set(counts)
    assert counts[ENGLISH] == 1_000
    assert counts["srp_Cyrl"] == 405
    assert counts["zho_Hans"] == 605
    assert counts["als_Latn"] == len(labels["SQ"][0])
