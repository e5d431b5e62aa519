"""A recipe is checked whole; whatever is wrong is named with file, line, key, value and remedy."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.recipe import SettingsError, load_recipe
from pipelines.recipe_sources import CocoSource, JsonlSource
from translation.filters import load_thresholds
from translation.filters.policy import AtLeast, Between, Policy
from translation.languages import default_languages
from translation.model import SMALL, model_directory

RECIPE = """\
name: sample
seed: 3
languages: {english_share: 0.4, codes: [de, zh, no]}
round_trip: all
filters:
  length_ratio: {min: 0.3}
sources:
  - {name: emoji, format: coco, annotations: captions.json, images: images/}
  - name: talks
    format: jsonl
    path: talks-*.jsonl
    images: images/
    tasks: [instruct]
    prompt: keep
    columns: {id: key}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("captions.json", "talks-1.jsonl", "talks-2.jsonl"):
        (tmp_path / name).write_text("{}\n")
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def failure(folder: Path, text: str | None = None, overrides: tuple[str, ...] = ()) -> SettingsError:
    if text is not None:
        (folder / "recipe.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_recipe(folder / "recipe.yaml", overrides)
    return caught.value


def test_loads_with_defaults_and_resolved_languages(folder: Path) -> None:
    recipe = load_recipe(folder / "recipe.yaml")
    assert recipe.languages.codes == ("deu_Latn", "nob_Latn", "zho_Hans")
    assert (recipe.seed, recipe.round_trip, recipe.images, recipe.validation) == (3, "all", "embed", 0.02)
    assert recipe.translation.beam_size == 4
    assert recipe.filters.length_ratio == Between(0.3, Policy().length_ratio.max)
    coco, talks = recipe.sources
    assert isinstance(coco, CocoSource)
    assert isinstance(talks, JsonlSource)
    assert talks.column("id") == "key"
    assert talks.column("conversation") == "conversations"
    assert [Path(path).name for path in recipe.source_files(1)] == ["talks-1.jsonl", "talks-2.jsonl"]
    assert recipe.path("images/") == str(folder / "images")


def test_without_codes_all_default_languages_but_english(folder: Path) -> None:
    recipe = load_recipe(folder / "recipe.yaml", ["languages={}"])
    assert len(recipe.languages.codes) == len(default_languages()) - 1 == 95
    assert "eng_Latn" not in recipe.languages.codes


def test_overrides_are_yaml_and_reach_into_lists(folder: Path) -> None:
    (folder / "other.json").write_text("{}")
    recipe = load_recipe(
        folder / "recipe.yaml",
        [
            "sources.0.annotations=other.json",
            "filters.script.min=0.7",
            "translation.beam_size=1",
            "seed=1_000",
        ],
    )
    assert [Path(path).name for path in recipe.source_files(0)] == ["other.json"]
    assert recipe.filters.script == AtLeast(0.7)
    assert recipe.filters.length_ratio == Between(0.3, Policy().length_ratio.max)
    assert (recipe.translation.beam_size, recipe.seed) == (1, 1000)


@pytest.mark.parametrize("off", ["filters.lid.min=null", "filters.lid=null"])
def test_a_threshold_can_be_switched_off(folder: Path, off: str) -> None:
    recipe = load_recipe(folder / "recipe.yaml", [off, "filters.length_ratio.max=1e1"])
    assert recipe.filters.lid == AtLeast(None)
    assert recipe.filters.length_ratio == Between(0.3, 10.0)


def test_digest_depends_on_the_configuration_and_not_on_where_it_lies(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "images").mkdir(parents=True)
    for name in ("captions.json", "talks-9.jsonl"):
        (elsewhere / name).write_text("")
    (elsewhere / "recipe.yaml").write_text(RECIPE.replace("[de, zh, no]", "[zho_Hans, no, deu_Latn]"))
    first = load_recipe(folder / "recipe.yaml")
    assert load_recipe(elsewhere / "recipe.yaml").digest == first.digest
    assert load_recipe(folder / "recipe.yaml", ["seed=4"]).digest != first.digest
    assert load_recipe(folder / "recipe.yaml", ["filters.script.min=0.51"]).digest != first.digest


def test_survives_pickling_with_its_folder_and_lines(folder: Path) -> None:
    recipe = load_recipe(folder / "recipe.yaml")
    copy = pickle.loads(pickle.dumps(recipe))
    assert copy == recipe
    assert copy.path("x") == str(folder / "x")
    error = pickle.loads(pickle.dumps(copy.error(("sources", 1, "columns", "id"), "no such column")))
    assert str(error) == f'{folder}/recipe.yaml:15: sources.1.columns.id is "key": no such column'


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "words"),
    [
        ("seed: 3", "sead: 3", 2, "sead", "unknown key; did you mean `seed`?"),
        ("english_share: 0.4", "english: 0.4", 3, "languages.english", "did you mean `english_share`?"),
        ("columns: {id: key}", "colums: {id: key}", 15, "sources.1.colums", "did you mean `columns`?"),
        ("{id: key}", "{idd: key}", 15, "sources.1.columns.idd", "did you mean `id`?"),
        ("{min: 0.3}", "{minn: 0.3}", 6, "filters.length_ratio.minn", "did you mean `min`?"),
        ("  length_ratio", "  length_ratoi", 6, "filters.length_ratoi", "did you mean `length_ratio`?"),
        ("round_trip: all", "translation: {beam: 2}", 4, "translation.beam", "did you mean `beam_size`?"),
        (
            "english_share: 0.4",
            "english_share: 1.4",
            3,
            "languages.english_share",
            "1.4: must be less than or",
        ),
        (
            "english_share: 0.4",
            "english_share: .nan",
            3,
            "languages.english_share",
            '".nan": must be a number',
        ),
        ("seed: 3", 'seed: "3"', 2, "seed", '"3": must be a whole number'),
        ("seed: 3", "seed: true", 2, "seed", "true: must be a whole number"),
        ("seed: 3", "validation: 1", 2, "validation", "1: must be less than 1"),
        ("seed: 3", "max_image_pixels: 0", 2, "max_image_pixels", "0: must be greater than or equal to 1"),
        ("seed: 3", "translation: {beam_size: 0}", 2, "translation.beam_size", "0: must be from 1 to 64"),
        ("seed: 3", "translation: 5", 2, "translation", "5: must be a mapping"),
        ("round_trip: all", "round_trip: long", 4, "round_trip", "\"long\": must be one of 'none', 'short'"),
        (
            "[de, zh, no]",
            "[de, deu_latin]",
            3,
            "languages.codes.1",
            "unknown language 'deu_latin'; did you mean deu_Latn",
        ),
        ("[de, zh, no]", "[de, en]", 3, "languages.codes.1", "English has its own share"),
        ("[de, zh, no]", "[zh, zho_Hans]", 3, "languages.codes", "zho_Hans stands there twice"),
        ("[de, zh, no]", "[]", 3, "languages.codes", "no language is left for the 0.6"),
        ("[de, zh, no]", "de", 3, "languages.codes", '"de": must be a list'),
        ("{min: 0.3}", "{min: 3, max: 2}", 6, "filters.length_ratio", "`min` is larger than `max`"),
        ("name: talks", "name: emoji", 9, "sources.1.name", "`sources.0` has this name too"),
        ("name: talks", "name: a/b", 9, "sources.1.name", "no blank or `/`"),
        ("name: talks", "name: ''", 9, "sources.1.name", "files and row ids are named by it"),
        ("format: jsonl", "format: jsnl", 10, "sources.1.format", "unknown format; did you mean `jsonl`?"),
        (
            "    format: jsonl\n",
            "",
            9,
            "sources.1.format",
            "this key is missing; one of coco, capfilt, vqav2",
        ),
        ("    tasks: [instruct]\n", "", 9, "sources.1.tasks", "this key is missing"),
        ("tasks: [instruct]", "task: instruct", 13, "sources.1.task", "unknown key; did you mean `tasks`?"),
        ("tasks: [instruct]", "tasks: [caption]", 14, "sources.1.prompt", "no text in their prompts"),
        (
            "{id: key}",
            "{caption: x}",
            15,
            "sources.1.columns.caption",
            "`tasks: [instruct]` has no such text",
        ),
        ("path: talks-*", "path: walks-*", 11, "sources.1.path", "walks-*.jsonl; relative paths start at"),
        (
            "path: talks-*.jsonl",
            "path: images",
            11,
            "sources.1.path",
            "is a folder; name a file or a glob in it",
        ),
        ("    images: images/", "    images: pictures/", 12, "sources.1.images", "no folder"),
        ("annotations: captions.json", "annotations: x.json", 8, "sources.0.annotations", "no file"),
        (
            "seed: 3",
            "model: nowhere/x",
            2,
            "model",
            f"/nowhere/x or {Path('nowhere/x').absolute()}; name the",
        ),
        ("seed: 3", "identification: lid.bin", 2, "identification", "no file"),
        ("seed: 3", "name: again", 2, "name", "stands here and on line 1; keep one"),
        ("seed: 3", "seed: 3\n3: x", 3, "", "the key 3 is no text"),
        ("seed: 3", "seed: [3", None, "", "no valid YAML: "),
        (
            "seed: 3",
            "seed: !!python/name:os.system x",
            2,
            "",
            "no valid YAML: could not determine a constructor",
        ),
        ("seed: 3", "seed: !!binary aGk=", None, "", "holds a YAML tag that settings do not use"),
        ("seed: 3", "seed: &x [*x]", None, "", "nested too deeply"),
    ],
)
def test_what_is_wrong_is_named(
    folder: Path, old: str, new: str, line: int | None, key: str, words: str
) -> None:
    assert old in RECIPE
    error = failure(folder, RECIPE.replace(old, new, 1))
    assert words in str(error)
    assert (error.key, error.file) == (key, str(folder / "recipe.yaml"))
    if line is not None:
        assert error.line == line
        assert str(error).startswith(f"{folder}/recipe.yaml:{line}: ")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed", "'seed' is no `key=value`"),
        ("=3", "'=3' is no `key=value`"),
        ("sources.7.path=x", "sources.7.path: `7` is no item of `sources`, which has 2"),
        ("sources.talks.path=x", "`talks` is no item of `sources`"),
        ("name.x=1", '`name` holds "sample", which has no keys'),
        ("seed=-1", "seed is -1: must be greater than or equal to 0"),
        ("sead=1", "sead: unknown key; did you mean `seed`?"),
        ("sources.1.path=none.jsonl", "no file"),
        ("seed=[1", "no valid YAML"),
    ],
)
def test_wrong_overrides_are_named(folder: Path, override: str, words: str) -> None:
    error = failure(folder, overrides=(override,))
    assert str(error).startswith("--set")
    assert words in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"- a\n- b\n", "must be a mapping of keys"),
        (b"", "name: this key is missing (and 1 more)"),
        (b"name: x\nsources: []\n", "sources is []: must have at least 1 item"),
        (b"name: x\nsources: \xff\n", "2: no UTF-8 at byte 17"),
        (b"name: x\n\x01: 3\n", "no valid YAML"),
        (b"a: 1\n---\nb: 2\n", "no valid YAML: but found another document"),
    ],
)
def test_a_file_that_is_no_recipe(folder: Path, content: bytes, words: str) -> None:
    (folder / "recipe.yaml").write_bytes(content)
    assert words in str(failure(folder))


def test_a_missing_recipe_and_a_folder(folder: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        load_recipe(folder / "nowhere.yaml")
    with pytest.raises(SettingsError, match="Is a directory"):
        load_recipe(folder)


def test_several_errors_name_the_first_and_their_number(folder: Path) -> None:
    error = failure(folder, RECIPE.replace("seed: 3", "sead: 3").replace("0.4", "4"))
    assert error.line == 2
    assert str(error).endswith("(and 1 more)")


def test_model_and_identification_may_be_local(folder: Path) -> None:
    (folder / "nllb").mkdir()
    (folder / "lid.bin").write_bytes(b"x")
    local = load_recipe(folder / "recipe.yaml", ["model=nllb", "identification=lid.bin"])
    assert local.model_directory == str(folder / "nllb")
    assert local.identification_file == str(folder / "lid.bin")
    hub = load_recipe(folder / "recipe.yaml", ["identification=cis-lmu/glotlid"])
    assert (hub.model_directory, hub.identification_file) == (str(model_directory(SMALL)), None)


@pytest.mark.parametrize("spec", ["shipped", "cld"])
def test_identification_may_be_what_needs_no_file(folder: Path, spec: str) -> None:
    assert load_recipe(folder / "recipe.yaml").identification == "shipped"
    recipe = load_recipe(folder / "recipe.yaml", [f"identification={spec}"])
    assert (recipe.identification, recipe.identification_file) == (spec, None)
    # A file of that name is not meant.
    (folder / spec).write_bytes(b"x")
    assert recipe.identification_file is None


def test_thresholds_may_be_a_table_beside_the_recipe(folder: Path) -> None:
    assert load_recipe(folder / "recipe.yaml").thresholds_file is None
    (folder / "mine.tsv").write_text(load_thresholds(None).text(), encoding="utf-8")
    recipe = load_recipe(folder / "recipe.yaml", ["thresholds=mine.tsv"])
    assert recipe.thresholds_file == str(folder / "mine.tsv")
    assert recipe.digest != load_recipe(folder / "recipe.yaml").digest


def test_tables_may_be_where_the_command_is_typed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = folder / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    (here / "mine.tsv").write_text(load_thresholds(None).text(), encoding="utf-8")
    override = ["thresholds=mine.tsv"]
    assert load_recipe(folder / "recipe.yaml", override).thresholds_file == str(here / "mine.tsv")
    (folder / "mine.tsv").write_text(load_thresholds(None).text(), encoding="utf-8")
    assert load_recipe(folder / "recipe.yaml", override).thresholds_file == str(folder / "mine.tsv")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot read"),
        ("nllb_code\n", "must name the columns"),
        ("\n".join(load_thresholds(None).text().splitlines()[:20]), "was the table cut?"),
    ],
)
def test_thresholds_that_cannot_be_used_are_named(folder: Path, content: str | None, words: str) -> None:
    if content is not None:
        (folder / "mine.tsv").write_text(content, encoding="utf-8")
    error = failure(folder, RECIPE.replace("seed: 3", "thresholds: mine.tsv"))
    assert (error.key, error.line) == ("thresholds", 2)
    assert words in str(error)
    assert "translate-mix calibrate" in str(error)


def test_quality_names_judges_and_finds_their_directories(folder: Path) -> None:
    assert load_recipe(folder / "recipe.yaml").quality_specs == ()
    (folder / "labse").mkdir()
    recipe = load_recipe(folder / "recipe.yaml", ["quality=[labse:labse, metricx:google/metricx-24]"])
    assert recipe.quality_specs == (f"labse:{folder / 'labse'}", "metricx:google/metricx-24")
    assert load_recipe(folder / "recipe.yaml", ["quality=[labse]"]).quality_specs == ("labse",)
    assert recipe.digest != load_recipe(folder / "recipe.yaml").digest


@pytest.mark.parametrize(
    ("value", "key", "words"),
    [
        ("labse", "quality", '"labse": must be a list'),
        ("[sonar]", "quality.0", "`labse`, `metricx`, `labse:PLACE`"),
        ("['labse:']", "quality.0", "is wanted"),
        ("[comet_kiwi]", "quality.0", "`comet_kiwi:DIRECTORY` is wanted"),
        ("[labse, 'labse:other/labse']", "quality", "each kind of judge has one score column"),
    ],
)
def test_a_judge_that_is_none_is_named(folder: Path, value: str, key: str, words: str) -> None:
    error = failure(folder, RECIPE.replace("seed: 3", f"quality: {value}"))
    assert (error.key, error.line) == (key, 2)
    assert words in str(error)


def test_a_model_may_stand_in_the_working_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere" / "models" / "nllb").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    recipe = load_recipe(folder / "recipe.yaml", ["model=models/nllb"])
    assert recipe.model_directory == str(tmp_path / "elsewhere" / "models" / "nllb")


def test_a_model_that_was_not_added_says_how(folder: Path) -> None:
    with pytest.raises(SettingsError, match="translate-mix model add"):
        load_recipe(folder / "recipe.yaml", ["model=facebook/nllb-200-distilled-600M"])


SOURCE_LANGUAGES = """
name: own
languages: {common}
sources:
  - name: c
    format: coco
    annotations: captions.json
    images: images/
    languages: {own}
"""


@pytest.mark.parametrize(
    ("common", "own", "codes", "weights"),
    [
        (
            "{english_share: 0.2, codes: [de, fr]}",
            "{english_share: 0.9}",
            ["deu_Latn", "fra_Latn"],
            "uniform",
        ),
        (
            "{weights: proportional, alpha: 0.3}",
            "{codes: [de, sw]}",
            ["deu_Latn", "swh_Latn"],
            "proportional",
        ),
        ("{weights: {de: 1, fr: 3}}", "{codes: [sw]}", ["swh_Latn"], "uniform"),
        ("{weights: {de: 1, fr: 3}}", "{weights: uniform}", ["deu_Latn", "fra_Latn"], "uniform"),
        ("{weights: proportional, alpha: 0.3}", "{weights: uniform, codes: [de]}", ["deu_Latn"], "uniform"),
        ("{codes: [de]}", "{weights: {fr: 1}}", ["fra_Latn"], {"fra_Latn": 1.0}),
    ],
)
def test_a_source_takes_from_the_recipe_what_its_own_policy_leaves_out(
    folder: Path, common: str, own: str, codes: list[str], weights: object
) -> None:
    text = SOURCE_LANGUAGES.replace("{common}", common).replace("{own}", own)
    (folder / "own.yaml").write_text(text, encoding="utf-8")
    languages = load_recipe(folder / "own.yaml").sources[0].languages
    assert languages is not None
    assert (list(languages.codes), languages.weights) == (codes, weights)


@pytest.mark.parametrize(
    ("weights", "key", "told"),
    [
        ("{xx: 1, sw: 2}", "languages.weights.xx", "xx"),
        ("{en: 1, sw: 1}", "languages.weights.en", "English has its own share"),
        ("{de: two}", "languages.weights.de", "must be a number"),
        ("{de: null}", "languages.weights.de", "must be a number"),
    ],
)
def test_what_is_wrong_in_weights_is_told(folder: Path, weights: str, key: str, told: str) -> None:
    error = failure(folder, overrides=(f"languages={{weights: {weights}}}",))
    assert error.key == key
    assert told in str(error)
    assert "more)" not in str(error)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("languages={weights: {de: 1, sw: 2, deu_Latn: 3}}", "languages.weights.deu_Latn"),
        ("sources.0.languages={weights: {zh: 1, zho_Hans: 1}}", "sources.0.languages.weights.zho_Hans"),
    ],
)
def test_a_language_with_two_weights_is_no_guess(folder: Path, override: str, key: str) -> None:
    error = failure(folder, overrides=(override,))
    assert error.key == key
    assert "stands there twice, perhaps under another code" in str(error)


def test_a_folder_may_have_a_name_that_reads_as_a_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "data [v1] *"
    (folder / "images").mkdir(parents=True)
    for name in ("captions.json", "talks-1.jsonl", "talks-2.jsonl"):
        (folder / name).write_text("{}\n")
    (folder / "recipe.yaml").write_text(RECIPE)
    recipe = load_recipe(folder / "recipe.yaml")
    assert recipe.source_files(1) == [f"{folder}/talks-1.jsonl", f"{folder}/talks-2.jsonl"]


def test_pictures_in_an_archive_have_no_path_to_refer_to(folder: Path) -> None:
    with zipfile.ZipFile(folder / "images.zip", "w"):
        pass
    settings = ["images=reference", "sources.0.images=images.zip"]
    error = failure(folder, overrides=settings)
    assert "are no files that a path could name; take `embed`, or `shared`" in str(error)


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("sources.0.splits=[vall]", "val"),
        ("round_trip=shrot", "short"),
        ("sources.0.tasks=[captions]", "caption"),
    ],
)
def test_a_value_that_is_nearly_right_is_told_what_was_meant(folder: Path, override: str, meant: str) -> None:
    error = failure(folder, overrides=(override,))
    assert f"did you mean `{meant}`?" in str(error)
    assert error.file == "--set"


def test_an_unknown_key_within_an_override_is_the_overrides_mistake(folder: Path) -> None:
    assert failure(folder, overrides=("filters.lidd.min=0.6",)).file == "--set"


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ({"format": "text", "path": "x.de", "tasks": ["text"], "language": "de", "prompt": "keep"}, "prompt"),
        (
            {"format": "text", "path": "x.de", "language": "de", "languages": {"english_share": 0.1}},
            "languages",
        ),
        ({"format": "jsonl", "path": "x.de", "tasks": ["text"], "images": "images"}, "images"),
        ({"format": "jsonl", "path": "x.de", "tasks": ["text"], "columns": {"image": "x"}}, "columns.image"),
        (
            {"format": "csv", "path": "x.de", "tasks": ["caption"], "images": "x", "columns": {"url": "u"}},
            "images",
        ),
        (
            {
                "format": "jsonl",
                "path": "x.de",
                "tasks": ["instruct"],
                "turns": "keep",
                "columns": {"question": "q", "answer": "a"},
            },
            "turns",
        ),
        ({"format": "webdataset", "path": "x.de", "tasks": ["vqa"], "caption": "text"}, "caption"),
        ({"format": "webdataset", "path": "x.de", "tasks": ["caption"], "answer": "a"}, "answer"),
        (
            {"format": "webdataset", "path": "x.de", "tasks": ["vqa"], "conversation": "json:c"},
            "conversation",
        ),
    ],
)
def test_a_key_without_effect_is_refused(folder: Path, source: dict[str, Any], key: str) -> None:
    (folder / "x.de").write_text("Text.\n")
    error = failure(folder, yaml.safe_dump({"name": "r", "sources": [{"name": "s", **source}]}))
    assert error.key == f"sources.0.{key}"
    assert "take it out" in str(error)
