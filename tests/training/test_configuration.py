from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from training.configuration import (
    Configuration,
    differences,
    digest_of,
    load_configuration,
    shipped_configurations,
)
from translation.settings_file import SettingsError

TEXT = """
name: test
output: run
model: {vision: owner/vision, llm: owner/llm}
data: {mixes: [mix]}
stages:
  - {name: main, learning_rates: {qformer: 1e-5, lora: 2e-4}, epochs: 2, batch_size: 32}
per_device: 8
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "mix").mkdir()
    path = tmp_path / "test.yaml"
    path.write_text(TEXT)
    return path


def test_a_configuration_has_the_papers_defaults(file: Path) -> None:
    found = load_configuration(file)
    assert found.model.lora is not None
    assert (found.model.lora.r, found.model.lora.alpha, found.model.lora.dropout) == (8, 16, 0.05)
    stage = found.stages[0]
    assert (stage.weight_decay, stage.warm_up_steps, stage.clip, stage.schedule) == (0.1, 1000, 1.0, "cosine")
    assert (found.texts.max_prompt_tokens, found.texts.max_target_tokens) == (128, 128)


def test_paths_start_at_the_configurations_folder(file: Path) -> None:
    found = load_configuration(file)
    assert found.run_directory == file.parent / "run"
    assert [mix.path for mix in found.mixes_of(found.data)] == [str(file.parent / "mix")]


@pytest.mark.parametrize(
    ("override", "key", "words"),
    [
        ("stages.0.learning_rate=1", "stages.0.learning_rate", "did you mean `learning_rates`?"),
        ("stages.0.learning_rates.lora=0", "stages.0.learning_rates", "no learning rate"),
        ("stages.0.learning_rates={}", "stages.0.learning_rates", "names no part to train"),
        ("stages.0.learning_rates.head=1", "stages.0.learning_rates.head", "qformer"),
        ("stages.0.steps=5", "stages.0.steps", "either `epochs` or `steps`"),
        ("stages.0.batch_size=12", "stages.0.batch_size", "multiple of `per_device`, which is 8"),
        ("model.lora=null", "stages.0.learning_rates.lora", "no `lora`"),
        ("stages.0.betas=[0.9, 1]", "stages.0.betas.1", "less than 1"),
        ("model.start=there", "model.vision", "`start` is a whole checkpoint"),
        ("model.llm=null", "model.llm", "name `vision` and `llm`"),
        ("model.connector=mlp", "stages.0.learning_rates.qformer", "no Q-Former"),
        ("model.quantization=int4", "model.quantization", "int8"),
        ("data.mixes=[elsewhere]", "data.mixes.0", "no directory"),
        ("data.workers=-1", "data.workers", "at least 0"),
        ("data.max_pixels=200000000", "data.max_pixels", "178956970"),
        ("model.vision=nowhere", "model.vision", "no directory"),
        (
            "model.revisions={owner/vision: main, owner/vison: main}",
            "model.revisions",
            "'owner/vison' is no name",
        ),
        ("stages=[]", "stages", "at least 1"),
        ("precision=half", "precision", "bfloat16"),
        ("seed=a", "seed", "whole number"),
        ("sharding=half", "sharding", "full"),
        (
            "model.lora.targets=q_proj",
            "model.lora.targets",
            "must be 'all-linear' or a list: [A, B]",
        ),
        ("model.lora.targets=[q_proj, 1]", "model.lora.targets.1", "is 1: must be a string"),
        ("data.workers=few", "data.workers", "is \"few\": must be a whole number or 'auto'"),
        (
            "texts.chat_options={a: [1]}",
            "texts.chat_options.a",
            "must be a boolean or a whole number",
        ),
        ("data.mixes=[5]", "data.mixes.0", "is 5: must be a string or a mapping of keys"),
        ("data.mixes=[{times: 2}]", "data.mixes.0.path", "this key is missing"),
        ("data.mixes=[{path: a, tims: 2}]", "data.mixes.0.tims", "did you mean `times`? Valid: path, times"),
    ],
)
def test_what_is_wrong_is_named(file: Path, override: str, key: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_configuration(file, [override])
    assert caught.value.key == key
    assert words in str(caught.value)


def test_the_llms_own_weights_cannot_be_trained_in_few_bits(file: Path) -> None:
    with pytest.raises(SettingsError, match="freezes the LLM's own weights"):
        load_configuration(file, ["model.quantization=int8", "stages.0.learning_rates.llm=1e-5"])


@pytest.mark.parametrize("other", ["model.quantization=nf4", "model.quantization=int8", "precision=float16"])
def test_what_cannot_be_shared_out_is_refused(file: Path, other: str) -> None:
    with pytest.raises(SettingsError, match="cannot be shared out") as caught:
        load_configuration(file, ["sharding=full", other])
    assert caught.value.key == "sharding"


def test_a_tilde_is_the_home(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    assert load_configuration(file, ["name=x"]).path("~/runs") == str(file.parent / "runs")


def test_what_is_typed_starts_at_the_working_directory(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere/other").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    written = load_configuration(file)
    assert written.run_directory.parent.is_relative_to(file.parent)
    typed = load_configuration(file, ["output=runs/first", "data.mixes=[{path: other, times: 2}]"])
    assert typed.run_directory == tmp_path / "elsewhere/runs/first"
    assert [mix.path for mix in typed.mixes_of(typed.data)] == [str(tmp_path / "elsewhere/other")]


@pytest.mark.parametrize(
    "typed",
    [
        "data.mixes=[other]",
        "data.mixes.0=other",
        "data.mixes=[{path: other, times: 2}]",
        "data={mixes: [other]}",
        "stages.0.data={mixes: [other]}",
    ],
)
def test_mixes_are_typed_whole_or_within_something_larger(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    (tmp_path / "elsewhere/other").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = load_configuration(file, [typed])
    assert str(tmp_path / "elsewhere/other") in [mix.path for mix in found.all_mixes()]


def test_a_path_that_is_not_typed_starts_at_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = load_configuration(file)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = load_configuration(file, ["data.max_skipped=0.1"])
    assert found.all_mixes() == written.all_mixes()


def test_a_folder_of_the_name_hides_no_configuration_that_ships(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("qwen", "my-mix"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_configuration("qwen", ["data.mixes=[my-mix]"]).name == "qwen"


def test_the_digest_is_of_what_decides_on_the_weights(file: Path) -> None:
    digest = digest_of(load_configuration(file).decisive())
    for harmless in (
        "output=other",
        "checkpoints.keep=5",
        "log.every_steps=1",
        "data.workers=3",
        "data.max_skipped=0.1",
        "name=b",
        "sharding=full",
    ):
        assert digest_of(load_configuration(file, [harmless]).decisive()) == digest, harmless
    for decisive in ("seed=3", "per_device=4", "stages.0.clip=2", "data.fit=pad", "texts.chat=false"):
        assert digest_of(load_configuration(file, [decisive]).decisive()) != digest, decisive


def test_differences_name_keys_and_both_values(file: Path) -> None:
    mine = load_configuration(file).decisive()
    other = load_configuration(
        file, ["stages.0.batch_size=64", "model.lora=null", "stages.0.learning_rates={qformer: 1e-5}"]
    )
    told = differences(mine, other.decisive())
    assert "stages.0.batch_size: 64 there, 32 here" in told
    assert any(line.startswith("model.lora") for line in told)
    assert differences(mine, mine) == []


@pytest.mark.parametrize("name", sorted(shipped_configurations()))
def test_shipped_configurations_are_valid(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = yaml.safe_load(shipped_configurations()[name].read_text())
    monkeypatch.chdir(tmp_path)
    for mix in values["data"]["mixes"]:
        (tmp_path / (mix if isinstance(mix, str) else mix["path"])).mkdir(parents=True)
    for key in ("start", "vision", "llm"):
        (tmp_path / values["model"].get(key, "x")).mkdir(parents=True, exist_ok=True)
    found = load_configuration(name)
    assert found.name == name
    assert isinstance(found, Configuration)
    assert found.run_directory == tmp_path / "runs" / name


def test_an_unknown_name_is_told_with_those_that_ship() -> None:
    with pytest.raises(SettingsError, match="did you mean `mblip-mt0-xl`"):
        load_configuration("mblip-mt0-x")


def test_the_papers_values_ship() -> None:
    values = yaml.safe_load(shipped_configurations()["mblip-mt0-xl"].read_text())
    (stage,) = values["stages"]
    assert (stage["epochs"], stage["batch_size"], stage["warm_up_steps"]) == (2, 128, 1000)
    assert {part: float(rate) for part, rate in stage["learning_rates"].items()} == {
        "qformer": 1e-5,
        "projection": 1e-5,
        "lora": 2e-4,
    }
