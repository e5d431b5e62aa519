"""The card makes `datasets.load_dataset` work on a mix, whole and by language, and says what is in it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pipelines.card import dataset_card
from pipelines.manifest import Manifest, Signature
from pipelines.mix_files import ShardFile
from pipelines.preview import PreviewRow
from pipelines.recipe import Recipe, checked_recipe
from pipelines.summary import LanguageCounts
from tests.pictures import encoded
from translation.filters import NO_SCORES
from translation.row import row_schema
from translation.settings_file import override_values

SIGNATURE = Signature(
    version="0.1.0",
    recipe="abc123",
    seed=17,
    model="small",
    model_digest="0123456789abcdef",
    engine="ctranslate2-4.8.5",
    decoding="beam_size=4",
    identification="cld",
    identification_digest="fedcba",
    thresholds="0123456789abcdef",
)
LICENCES = {"model small": "Unicode-3.0", "source coco | captions": "CC BY 4.0"}
SHARDS = (
    ("data", "deu_Latn", "train", 3),
    ("data", "deu_Latn", "validation", 1),
    ("data", "eng_Latn", "train", 4),
    ("data", "zho_Hans", "validation", 2),
    ("rejected", "swh_Latn", "rejected", 5),
)


def rows(language: str, split: str, number: int) -> list[dict[str, Any]]:
    empty = dict.fromkeys(row_schema().names)
    return [
        empty
        | {
            "id": f"coco/{split}-{index}/caption/{language}",
            "dataset": "coco",
            "task": "caption",
            "image": {"bytes": encoded(Image.new("RGB", (9, 7), "red")), "path": f"{index}.png"},
            "language": language,
            "prompt": "Describe the image.",
            "target": "rot",
            "scores": NO_SCORES | {"script": 1.0},
            "verdict": "accept",
        }
        for index in range(number)
    ]


def manifest_of(shards: tuple[tuple[str, str, str, int], ...], signature: Signature = SIGNATURE) -> Manifest:
    files = tuple(
        ShardFile(
            f"{kind}/{code}/{split}-00000-of-00001.parquet", number, "0" * 64, 1, code, split, kind == "data"
        )
        for kind, code, split, number in shards
    )
    counts = []
    for code in sorted({file.language for file in files}):
        accepted = sum(file.rows for file in files if file.language == code and file.accepted)
        rejected = sum(file.rows for file in files if file.language == code and not file.accepted)
        reasons = {"language": rejected} if rejected else {}
        counts.append(LanguageCounts(code, accepted + rejected, accepted, rejected, reasons))
    return Manifest(signature, {}, sum(count.read for count in counts), tuple(counts), files)


COCO = {"format": "coco", "annotations": "captions.json", "images": "images"}
RECIPE = {
    "languages": {"english_share": 0.4, "weights": "uniform"},
    "round_trip": "short",
    "validation": 0.02,
    "filters": {
        "lid": {"min": "calibrated"},
        "copy": {"max": "calibrated"},
        "placeholders": {"min": 1.0},
        "length_ratio": {"min": None, "max": 2.5},
        "metricx": {"max": None},
    },
    "sources": [{"name": "coco", "tasks": ["caption", "matching"]}, {"name": "questions", "tasks": ["vqa"]}],
}
PREVIEW = (
    PreviewRow("deu_Latn", "Beschreibe | das Bild.", "rot [x](y)\nzwei", "a *red* <b>"),
    PreviewRow("heb_Hebr", "Caption in Hebrew:", "\u202eאדום", "red"),
)


def named(name: str, *sources: Mapping[str, Any]) -> Recipe:
    values = {"name": name, "sources": list(sources or [{"name": "coco", **COCO}])}
    return checked_recipe(override_values(values, "recipe.yaml", ()))


def recipe_of(shards: tuple[tuple[str, str, str, int], ...]) -> Manifest:
    return replace(manifest_of(shards), recipe=RECIPE)


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    directory = tmp_path / "mix"
    for kind, code, split, number in SHARDS:
        path = directory / kind / code / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows(code, split, number), schema=row_schema()), path)
    card = dataset_card(manifest_of(SHARDS), named("my-mix"), LICENCES, PREVIEW)
    (directory / "README.md").write_text(card, encoding="utf-8")
    (directory / "manifest.json").write_text("{}", encoding="utf-8")
    return directory


@pytest.fixture
def load_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`datasets.load_dataset` with its cache in `tmp_path`, offline."""
    datasets = pytest.importorskip("datasets", reason="an extra of the tests")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    cache = str(tmp_path / "cache")
    return lambda *arguments: datasets.load_dataset(*arguments, cache_dir=cache)


def front_matter(card: str) -> dict[str, Any]:
    start, front, _ = card.split("---\n", 2)
    assert start == ""
    content = yaml.safe_load(front)
    assert isinstance(content, dict)
    return content


def test_the_whole_mix_loads_by_default_without_the_rejected(mix: Path, load_dataset: Any) -> None:
    loaded = load_dataset(str(mix))
    assert {split: len(data) for split, data in loaded.items()} == {"train": 7, "validation": 3}
    assert set(loaded["train"]["language"]) == {"deu_Latn", "eng_Latn"}


def test_one_language_loads_by_its_code(mix: Path, load_dataset: Any) -> None:
    loaded = load_dataset(str(mix), "deu_Latn")
    assert {split: len(data) for split, data in loaded.items()} == {"train": 3, "validation": 1}
    assert set(loaded["train"]["language"]) == {"deu_Latn"}


def test_a_language_with_one_split_loads(mix: Path, load_dataset: Any) -> None:
    assert {split: len(data) for split, data in load_dataset(str(mix), "zho_Hans").items()} == {
        "validation": 2
    }


def test_images_decode_and_scores_are_fields(mix: Path, load_dataset: Any) -> None:
    row = load_dataset(str(mix))["train"][0]
    assert isinstance(row["image"], Image.Image)
    assert row["image"].size == (9, 7)
    assert row["image"].convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    assert row["scores"]["script"] == 1.0


def test_there_is_no_configuration_without_accepted_rows(mix: Path, load_dataset: Any) -> None:
    with pytest.raises(ValueError, match="swh_Latn"):
        load_dataset(str(mix), "swh_Latn")


def test_the_front_matter_says_languages_size_and_licence() -> None:
    front = front_matter(dataset_card(manifest_of(SHARDS), named("1.0"), {}))
    assert front["language"] == ["de", "en", "zh"]
    assert front["language_details"] == ["de", "en", "zh-Hans"]
    assert front["multilinguality"] == ["multilingual", "translation"]
    assert front["annotations_creators"] == ["machine-generated"]
    assert front["pretty_name"] == "1.0"
    assert front["size_categories"] == ["n<1K"]
    assert front["license"] == "other"
    assert [config["config_name"] for config in front["configs"]] == [
        "all",
        "deu_Latn",
        "eng_Latn",
        "zho_Hans",
    ]
    assert [config.get("default", False) for config in front["configs"]] == [True, False, False, False]


def test_a_language_that_only_a_later_version_knows_has_a_configuration_but_no_tag() -> None:
    card = dataset_card(manifest_of((*SHARDS, ("data", "xyz_Latn", "train", 2))), named("mix"), {})
    assert front_matter(card)["language"] == ["de", "en", "zh"]
    assert front_matter(card)["configs"][-2]["config_name"] == "xyz_Latn"
    assert "| xyz_Latn | xyz_Latn | 2 | 2 | 0 |" in card


@pytest.mark.parametrize(
    ("number", "size"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (5_070_000, "1M<n<10M"), (100_000_000, "100M<n<1B")],
)
def test_the_size_is_in_the_hubs_words(number: int, size: str) -> None:
    card = dataset_card(manifest_of((("data", "deu_Latn", "train", number),)), named("mix"), {})
    assert front_matter(card)["size_categories"] == [size]


def test_counts_signature_and_licences_stand_in_the_text() -> None:
    card = dataset_card(manifest_of(SHARDS), named("my-mix"), LICENCES)
    assert "| deu_Latn | German | 4 | 4 | 0 | 100.0% |  |" in card
    assert "| swh_Latn | Swahili | 5 | 0 | 5 | 0.0% | language |" in card
    assert "| **total** |  | 15 | 10 | 5 | 66.7% | language |" in card
    assert "15 rows read = 10 accepted + 5 rejected: 66.7% were kept." in card
    assert "| language | 5 | 33.3% |" in card
    assert f"`{SIGNATURE}`" in card
    assert "| source coco \\| captions | CC BY 4.0 |" in card
    assert "No row was accepted in: Swahili." in card
    assert "10 rows (40% of them English)" in card


def test_questions_of_rows_with_english_answers_are_spoken_of() -> None:
    manifest = manifest_of((("data", "eng_Latn", "train", 4),))
    assert front_matter(dataset_card(manifest, named("mix"), {}))["multilinguality"] == ["monolingual"]
    questions = (
        LanguageCounts("deu_Latn", 3, 2, 1, {"lid": 1}),
        LanguageCounts("swh_Latn", 1, 0, 1, {"lid": 1}),
    )
    card = dataset_card(replace(manifest, questions=questions), named("mix"), {})
    front = front_matter(card)
    assert front["multilinguality"] == ["multilingual", "translation"]
    assert front["language"] == ["de", "en"]
    assert [config["config_name"] for config in front["configs"]] == ["all", "eng_Latn"]
    assert "2 of the English ones have a question in another language (`question_language`)" in card
    assert "| deu_Latn | German | 3 | 2 | 1 | 66.7% | lid |" in card
    assert "No question with an English answer was accepted in: Swahili." in card


def test_every_configuration_loads(mix: Path, load_dataset: Any) -> None:
    for config in front_matter((mix / "README.md").read_text(encoding="utf-8"))["configs"]:
        assert sum(map(len, load_dataset(str(mix), config["config_name"]).values())) > 0


def test_the_hubs_own_reader_takes_the_front_matter() -> None:
    hub = pytest.importorskip("huggingface_hub", reason="an extra")
    card = dataset_card(recipe_of(SHARDS), named("my-mix"), LICENCES, PREVIEW)
    data = hub.DatasetCard(card).data
    assert isinstance(data, hub.DatasetCardData)
    # What it does not know it takes as extra keys; these are the hub's, of its specification.
    assert set(data.to_dict()) <= KEYS
    assert data.license == "other"
    assert data.to_dict()["license_details"] == "model small: Unicode-3.0; source coco | captions: CC BY 4.0"
    assert data.task_categories == ["image-text-to-text", "image-to-text", "visual-question-answering"]
    assert data.source_datasets == ["coco", "questions"]
    for key, allowed in VALUES.items():
        assert set(getattr(data, key)) <= allowed, key
    assert all(re.fullmatch("[a-z]{2,3}", code) for code in data.language)


KEYS = {
    "language",
    "language_details",
    "license",
    "license_name",
    "license_details",
    "tags",
    "annotations_creators",
    "language_creators",
    "multilinguality",
    "pretty_name",
    "size_categories",
    "source_datasets",
    "task_categories",
    "configs",
}
"""Of https://github.com/huggingface/hub-docs/blob/main/datasetcard.md, and one of DatasetCardData."""

VALUES = {
    "annotations_creators": {
        "found",
        "crowdsourced",
        "expert-generated",
        "machine-generated",
        "no-annotation",
    },
    "language_creators": {"found", "crowdsourced", "expert-generated", "machine-generated", "other"},
    "multilinguality": {"monolingual", "multilingual", "translation", "other"},
    "size_categories": {"n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"},
}
"""What `huggingface_hub.DatasetCardData` documents."""


def test_one_licence_of_all_parts_is_the_data_sets() -> None:
    alike = {"model m": "CC-BY-4.0", "source coco": "cc by 4.0"}
    front = front_matter(dataset_card(manifest_of(SHARDS), named("mix"), alike))
    assert front["license"] == "cc-by-4.0"
    assert not {"license_name", "license_details"} & front.keys()


@pytest.mark.parametrize("licence", ["CC-BY-NC-4.0", "not stated in the recipe"])
def test_licences_that_differ_or_are_unknown_are_other(licence: str) -> None:
    front = front_matter(dataset_card(manifest_of(SHARDS), named("mix"), {"a": "CC-BY-4.0", "b": licence}))
    assert (front["license"], front["license_name"]) == ("other", "see-licences")
    front = front_matter(dataset_card(manifest_of(SHARDS), named("mix"), {"b": "not stated in the recipe"}))
    assert front["license"] == "other"


def test_rows_are_shown_as_text_not_as_markup() -> None:
    card = dataset_card(manifest_of(SHARDS), named("mix"), {}, PREVIEW)
    assert "| deu_Latn | Beschreibe \\| das Bild. | a \\*red\\* &lt;b&gt; | rot \\[x\\](y) zwei |" in card
    assert '| heb_Hebr | Caption in Hebrew: | red | <span dir="rtl">אדום</span> |' in card
    assert "## Preview" not in dataset_card(manifest_of(SHARDS), named("mix"), {})


@pytest.mark.parametrize(("images", "said"), [("embed", False), ("reference", True)])
def test_pictures_that_are_elsewhere_are_told_of(images: str, said: bool) -> None:
    card = dataset_card(replace(manifest_of(SHARDS), recipe={"images": images}), named("mix"), {})
    assert ("**The pictures are not in this data set.**" in card) == said
    assert '[0]["image"]  # a PIL image' in card


def test_one_row_in_one_language_is_said_as_such() -> None:
    card = dataset_card(manifest_of((("data", "deu_Latn", "train", 1),)), named("mix"), {})
    assert "target texts in 1 language: 1 row (0% of them English)." in card


def test_how_it_was_made_names_round_trip_filters_and_bounds() -> None:
    card = dataset_card(recipe_of(SHARDS), named("mix"), {})
    assert "- round trip: short answers were translated back into English and compared" in card
    assert "- filters with bounds fitted per language on human translations: `lid`, `copy`" in card
    assert "- filters with one bound for all: `placeholders` ≥ 1, `length_ratio` ≤ 2.5" in card
    assert "- languages: 40% English, the rest uniform" in card
    assert "- held out by picture for validation: 2.0%" in card


def test_what_no_machine_translated_and_sources_of_another_policy_are_told() -> None:
    shares = {"english_share": 0.4, "weights": "proportional", "alpha": 0.3, "cap": 0.05, "per_example": 2}
    things = {"name": "things", "languages": {"english_share": 0.1, "weights": "uniform"}}
    manifest = replace(manifest_of(SHARDS), recipe={"languages": shares, "sources": [things]})
    sources = [
        {**things, "format": "imagenet", "images": "i", "classes": "c.txt", "labels": "l.json"},
        {"name": "wiki", "format": "text", "path": "wiki/{language}.txt"},
        {"name": "danish", "format": "text", "path": "x.txt", "language": "Danish"},
        {"name": "english", "format": "text", "path": "x.txt", "language": "English"},
        {"name": "german", "format": "jsonl", "path": "x.jsonl", "tasks": ["text"], "language": "de"},
        {"name": "told", "format": "jsonl", "path": "x.jsonl", "tasks": ["text"]},
    ]
    card = dataset_card(manifest, named("mix", *sources), {})
    common = "40% English, the rest proportional (alpha 0.3), at most 5% each, 2 for each example"
    assert f"- languages: {common}\n" in card
    assert "- languages of things: 10% English, the rest uniform\n" in card
    assert (
        "no person read them. Not so the names of classes of things, which come from its table, and the "
        "texts of wiki, danish, german, which are in their own language. Filters find"
    ) in card


def test_nllb_is_cited_and_its_limits_are_named_only_where_it_translated() -> None:
    nllb = Signature(**{**SIGNATURE.__dict__, "model": "facebook/nllb-200-distilled-600M"})
    with_nllb = dataset_card(manifest_of(SHARDS, nllb), named("mix"), {})
    assert "@article{nllb2022," in with_nllb
    assert "not for commercial use" in with_nllb
    assert "NLLB's weights are CC-BY-NC-4.0." in with_nllb
    without = dataset_card(manifest_of(SHARDS), named("mix"), {})
    assert "nllb" not in without.lower().replace("build the mix with an nllb model", "")
    assert "@inproceedings{geigle2024mblip," in without
    assert "version = {0.1.0}" in without


def test_the_small_model_is_named_as_a_stand_in_and_only_then() -> None:
    nllb = Signature(**{**SIGNATURE.__dict__, "model": "facebook/nllb-200-distilled-600M"})
    assert "stand-in" in dataset_card(manifest_of(SHARDS), named("mix"), {})
    assert "stand-in" not in dataset_card(manifest_of(SHARDS, nllb), named("mix"), {})


def test_a_mix_without_accepted_rows_has_a_card_too() -> None:
    card = dataset_card(manifest_of((("rejected", "swh_Latn", "rejected", 5),)), named("mix"), {})
    assert "nothing to load" in card
    assert "language" not in front_matter(card)


@pytest.mark.parametrize("shards", [(), (("rejected", "swh_Latn", "rejected", 5),)])
def test_of_a_mix_without_accepted_rows_nothing_is_loaded(
    tmp_path: Path, load_dataset: Any, shards: tuple[tuple[str, str, str, int], ...]
) -> None:
    mix = tmp_path / "mix"
    mix.mkdir()
    for kind, code, split, number in shards:
        path = mix / kind / code / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows(code, split, number), schema=row_schema()), path)
    (mix / "README.md").write_text(dataset_card(manifest_of(shards), named("mix"), {}), encoding="utf-8")
    (mix / "manifest.json").write_text('{"format": 1}', encoding="utf-8")
    # Without a configuration `datasets` would take the rejected rows, or the manifest, for training data.
    with pytest.raises(FileNotFoundError, match="data files found"):
        load_dataset(str(mix))


def test_the_same_mix_has_the_same_card() -> None:
    cards = {
        hashlib.sha256(dataset_card(manifest_of(SHARDS), named("mix"), LICENCES).encode()).hexdigest()
        for _ in range(3)
    }
    assert len(cards) == 1
