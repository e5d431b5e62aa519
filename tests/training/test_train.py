from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from peft import PeftModel
from rich.console import Console
from safetensors.torch import load_file
from transformers import Blip2ForConditionalGeneration

from tests.training import tiny
from tests.training.conftest import row_of, rows_of, write_mix
from training.batches import Batch
from training.configuration import Configuration, load_configuration
from training.figures import METRICS, read_figures
from training.run_directory import CHECKPOINTS, RunError
from training.stage import StageRun, Stopped
from training.train import train
from translation.settings_file import SettingsError

ROOT = Path(__file__).parents[2]

TEXT = """
name: test
output: run
model: {vision: parts/blip2, llm: parts/mt5, lora: {dropout: 0.1}}
data: {mixes: [mix], workers: 0, window_rows: 64}
stages:
  - {name: warm-up, learning_rates: {projection: 1e-2}, steps: 3, batch_size: 8, warm_up_steps: 2}
  - {name: main, learning_rates: {qformer: 1e-3, projection: 1e-3, lora: 1e-2}, epochs: 1, batch_size: 8,
     warm_up_steps: 2}
per_device: 4
checkpoints: {every_steps: 4, every_minutes: null}
validation: {every_steps: 6, batches: 2}
log: {every_steps: 1, tensorboard: false}
"""


@pytest.fixture(scope="session")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    tiny.write_blip2(folder / "blip2", "t5")
    for kind in ("mt5", "qwen2"):
        tiny.write_language_model(folder / kind, kind)
    return folder


@pytest.fixture(autouse=True)
def own_accelerator(one_thread: None) -> Iterator[None]:
    """On one thread, so that sums come in one order."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def folder(tmp_path: Path, parts: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration, its parts and a mix of 60 rows in three languages, some without a picture.

    It is the working directory too, where what overrides name begins.
    """
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts").symlink_to(parts)
    rows = rows_of({"deu_Latn": 24, "jpn_Jpan": 16, "eng_Latn": 12})
    nothing: dict[str, Any] = {"image": None, "image_id": None, "task": "text"}
    rows["eng_Latn"] += [row_of(100 + number, "eng_Latn", **nothing) for number in range(8)]
    write_mix(tmp_path / "mix", rows)
    add_validation(tmp_path / "mix")
    (tmp_path / "test.yaml").write_text(TEXT)
    return tmp_path


def add_validation(mix: Path) -> None:
    """Rows of the other split beside those of training."""
    write_mix(
        mix, {"deu_Latn": [row_of(200 + number, "deu_Latn") for number in range(8)]}, split="validation"
    )


def configured(folder: Path, *overrides: str) -> Configuration:
    return load_configuration(folder / "test.yaml", overrides)


def trained(folder: Path, *overrides: str) -> Any:
    return train(configured(folder, *overrides), Console(quiet=True), quiet=True)


def weights(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = max((run / CHECKPOINTS).glob("step-*"))
    return {
        **load_file(checkpoint / "model-trained.safetensors"),
        **load_file(checkpoint / "adapter/adapter_model.safetensors"),
    }


TIMES = (
    *("examples_per_second", "tokens_per_second", "data_wait_share", "seconds", "mfu", "gpu_memory_gib"),
    "padding_share",
)


def told(run: Path) -> list[dict[str, Any]]:
    """The figures that do not depend on how long something took."""
    lines = read_figures(run / METRICS)
    return [{name: value for name, value in line.items() if name not in TIMES} for line in lines]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_run_goes_through_its_stages_and_tells_its_losses(folder: Path) -> None:
    outcome = trained(folder)
    lines = [line for line in told(folder / "run") if line["kind"] == "train"]
    steps = 3 + 60 // 8
    assert [line["step"] for line in lines] == list(range(1, steps + 1))
    assert [line["stage"] for line in lines] == ["warm-up"] * 3 + ["main"] * (steps - 3)
    assert outcome.progress.finished
    assert outcome.progress.step == steps
    assert set(lines[0]["learning_rate"]) == {"projection"}
    assert lines[0]["learning_rate"]["projection"] == pytest.approx(0.5e-2)
    assert {name for line in lines for name in line["loss_by_language"]} == {
        "deu_Latn",
        "eng_Latn",
        "jpn_Jpan",
    }
    assert {name for line in lines for name in line["loss_by_task"]} == {"caption", "text"}
    assert any(line["kind"] == "validation" for line in told(folder / "run"))
    assert outcome.best is not None


def test_only_what_a_stage_names_is_trained(folder: Path) -> None:
    trained(folder, "stages=[{name: a, learning_rates: {projection: 1e-2}, steps: 2, batch_size: 4}]")
    before = tiny.blip2("t5").state_dict()
    after = load_file(
        max((folder / "run" / CHECKPOINTS).glob("step-*")) / "model-frozen-00001-of-00001.safetensors"
    )
    assert torch.equal(before["qformer.layernorm.weight"], after["qformer.layernorm.weight"])
    assert torch.equal(before["query_tokens"], after["query_tokens"])
    stored = load_file(max((folder / "run" / CHECKPOINTS).glob("step-*")) / "model-trained.safetensors")
    assert sorted(stored) == ["language_projection.bias", "language_projection.weight"]


def test_a_model_learns(folder: Path) -> None:
    shutil.rmtree(folder / "mix")
    write_mix(folder / "mix", rows_of({"deu_Latn": 8}))
    trained(
        folder,
        "stages=[{name: a, learning_rates: {qformer: 3e-3, projection: 3e-3, lora: 3e-2}, steps: 60,"
        " batch_size: 8, warm_up_steps: 5, schedule: constant}]",
        "validation=null",
        "model.lora={r: 8, dropout: 0}",
    )
    losses = [line["loss"] for line in told(folder / "run")]
    assert sum(losses[-5:]) / 5 < 0.7 * losses[0]


@pytest.mark.parametrize("llm", ["mt5", "qwen2"])
def test_a_killed_run_goes_on_to_the_same_losses_and_weights(folder: Path, llm: str) -> None:
    model = f"model.llm=parts/{llm}"
    trained(folder, model, "output=whole")
    script = (
        "import os, signal, sys, threading, time\n"
        "from pathlib import Path\n"
        "import torch\n"
        "torch.set_num_threads(1)\n"
        "from rich.console import Console\n"
        "from training.configuration import load_configuration\n"
        "from training.train import train\n"
        "file, metrics, lines = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])\n"
        "def kill():\n"
        "    while not metrics.exists() or metrics.read_text().count('\\n') < lines: time.sleep(0.001)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "threading.Thread(target=kill, daemon=True).start()\n"
        "train(load_configuration(file, sys.argv[4:]), Console(quiet=True), quiet=True)\n"
    )
    metrics = folder / "run" / METRICS
    # Once before the first checkpoint or soon behind it, once later, in the next stage.
    for lines in (2, 8):
        command = [sys.executable, "-c", script, str(folder / "test.yaml"), str(metrics), str(lines), model]
        ended = subprocess.run(command, check=False, cwd=ROOT, env=environment(), capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()[-2000:]
    trained(folder, model)
    assert told(folder / "run") == told(folder / "whole")
    assert same(weights(folder / "run"), weights(folder / "whole"))


def environment(**values: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | values


def test_held_out_rows_of_untrained_tasks_alone_are_no_validation(folder: Path, capsys: Any) -> None:
    settings = ("data.tasks={caption: 0}", "stages.0.steps=1", "stages.1.epochs=null", "stages.1.steps=1")
    outcome = train(
        configured(folder, *settings, "stages.0.batch_size=4", "stages.1.batch_size=4"),
        Console(soft_wrap=True),
        quiet=True,
    )
    assert outcome.best is None
    assert "no validation" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("second", "told"),
    [
        (
            ["stages.1.data={mixes: [mix], tasks: {captions: 2}, workers: 0}"],
            r"stages\.1\.data\.tasks\.captions is 2: no row has this task; there are caption, text",
        ),
        (
            ["stages.1.data={mixes: [mix], tasks: {captions: 0}, workers: 0}"],
            r"stages\.1\.data\.tasks\.captions is 0: no row has this task; there are caption, text",
        ),
        (
            ["stages.1.batch_size=4096"],
            r"stages\.1\.batch_size is 4096: an epoch has .* fewer than the .* of one step; take a smaller",
        ),
    ],
)
def test_what_is_wrong_with_a_later_stage_is_told_before_the_first(
    folder: Path, second: list[str], told: str
) -> None:
    with pytest.raises(SettingsError, match=told):
        trained(folder, *second)
    assert not (folder / "run" / METRICS).exists()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("model.lora.targets=[q_project]", r"^--set: model\.lora\.targets is .*no linear layer 'q_project'"),
        ("model.vision_layer=-99", r"^--set: model\.vision_layer is -99: the encoder gives \d+ of them"),
        ("model.llm=siglip", r"^--set: model\.llm is .siglip.: .*config\.json: a model of the kind 'siglip"),
        ("model.llm=mix", r"^--set: model\.llm is .mix.: .*mix has no config\.json"),
        ("texts.chat=true", r"^--set: texts\.chat is true: an encoder-decoder's prompts have no chat"),
        ("texts.chat_options={a: 1}", r"^--set: texts\.chat_options is .*: no chat template is used"),
        ("log.wandb=project", r"^--set: log\.wandb is .project.: the package for it .*`pip install wandb`"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(
    folder: Path, written: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write_vision_encoder(folder / "siglip", "siglip")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SettingsError, match=told):
        trained(folder, written)


def test_prompts_shorter_than_what_stands_around_them_are_told_with_their_place(folder: Path) -> None:
    options = ("model.llm=parts/qwen2", "texts.max_prompt_tokens=5")
    told = r"^--set: texts\.max_prompt_tokens is 5: too few; \d+ stand around every prompt, so take more"
    with pytest.raises(SettingsError, match=told):
        trained(folder, *options)


def test_two_processes_train_as_one_does(folder: Path) -> None:
    trained(folder, "output=one", "model.lora.dropout=0")
    script = folder / "two.py"
    script.write_text(
        "import sys\n"
        "from rich.console import Console\n"
        "from training.configuration import load_configuration\n"
        "from training.train import train\n"
        "train(load_configuration(sys.argv[1], sys.argv[2:]), Console(quiet=True), quiet=True)\n"
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [str(script), str(folder / "test.yaml"), "model.lora.dropout=0"]
    ended = subprocess.run(
        [*launch, *arguments],
        check=False,
        cwd=ROOT,
        env=environment(ACCELERATE_USE_CPU="1"),
        capture_output=True,
    )
    assert ended.returncode == 0, ended.stderr.decode()[-3000:]
    one, two = told(folder / "one"), told(folder / "run")
    assert [line["step"] for line in one] == [line["step"] for line in two]
    for mine, other in zip(one, two, strict=True):
        assert other["loss"] == pytest.approx(mine["loss"], rel=1e-4)
        assert other["loss_by_language"] == pytest.approx(mine["loss_by_language"], rel=1e-4)
    for name, tensor in weights(folder / "one").items():
        torch.testing.assert_close(weights(folder / "run")[name], tensor, rtol=1e-3, atol=1e-4)


def launched(folder: Path, *overrides: str) -> subprocess.Popen[bytes]:
    """A run of two processes on this machine's CPUs, started as docs/training.md says."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    module = ["-m", "evaluation.cli", "train", str(folder / "test.yaml"), "--quiet"]
    settings = [word for override in overrides for word in ("--set", override)]
    return subprocess.Popen(
        [*launch, *module, *settings],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def check_killed(folder: Path, *overrides: str) -> None:
    """A run of two killed processes comes to the losses and weights of one that was not (`whole`)."""
    # Of 13 lines, the first checkpoint stands behind the fourth.
    lines = random.randrange(1, 11)
    whole, killed = launched(folder, "output=whole", *overrides), launched(folder, *overrides)
    assert kill_all(killed, folder / "run" / METRICS, lines) == 2, f"killed at line {lines}"
    ended_well(launched(folder, *overrides))
    ended_well(whole)
    assert told(folder / "run") == told(folder / "whole"), f"killed at line {lines}"
    assert same(weights(folder / "run"), weights(folder / "whole")), f"killed at line {lines}"


def ended_well(process: subprocess.Popen[bytes]) -> None:
    _, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors.decode()[-3000:]


def descendants(process: int) -> list[int]:
    """Processes that it started, and those that they did."""
    try:
        threads = list(Path(f"/proc/{process}/task").iterdir())
        children = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        # It was short-lived.
        return []
    return [one for child in children for one in (child, *descendants(child))]


def kill_all(process: subprocess.Popen[bytes], metrics: Path, lines: int) -> int:
    """Kills all processes of a run once it has told so many lines of figures; how many processes trained."""
    while process.poll() is None and (not metrics.exists() or metrics.read_text().count("\n") < lines):
        time.sleep(0.002)
    assert process.poll() is None, process.communicate()[1].decode()[-3000:]
    below = descendants(process.pid)
    for number in (*below, process.pid):
        os.kill(number, signal.SIGKILL)
    process.communicate(timeout=60)
    return len(below)


IN_LINUX = pytest.mark.skipif(
    not Path("/proc/self/task").is_dir(), reason="finds a launcher's processes in Linux's /proc"
)


@IN_LINUX
def test_two_killed_processes_go_on_to_the_same_losses_and_weights(folder: Path) -> None:
    check_killed(folder)


@IN_LINUX
def test_two_processes_that_share_the_model_out_train_as_one_does(folder: Path) -> None:
    settings = [
        *("model.llm=parts/qwen2", "model.lora.dropout=0", "gradient_checkpointing=true"),
        # Two batches of each process make a step, and one of both has no held-out batch.
        *("per_device=2", "validation.batches=1"),
        # Else Adam takes the noise in gradients that are 0, as of biases of keys, for steps.
        *("stages.0.epsilon=1e-4", "stages.1.epsilon=1e-4"),
    ]
    check_killed(folder, *settings, "sharding=full")
    trained(folder, *settings, "output=one")
    one, shared = told(folder / "one"), told(folder / "run")
    assert [line["step"] for line in one] == [line["step"] for line in shared]
    for mine, other in zip(one, shared, strict=True):
        assert other["loss"] == pytest.approx(mine["loss"], rel=1e-5)
        if mine["kind"] == "train":
            assert other["gradient_norm"] == pytest.approx(mine["gradient_norm"], rel=1e-4)
    for name, tensor in weights(folder / "one").items():
        torch.testing.assert_close(weights(folder / "run")[name], tensor, rtol=1e-4, atol=1e-5)
    folders = [max((folder / run / CHECKPOINTS).glob("step-*")) for run in ("one", "run")]
    files = [sorted(path.relative_to(one).as_posix() for path in one.rglob("*")) for one in folders]
    assert files[0] == files[1]
    frozen = [load_file(one / "model-frozen-00001-of-00001.safetensors") for one in folders]
    assert same(*frozen)
    assert (folders[1] / "model-frozen-00001-of-00001.safetensors").stat().st_nlink > 1
    assert same(as_loaded(folders[1]), as_loaded(max((folder / "whole" / CHECKPOINTS).glob("step-*"))))
    difference = [as_loaded(one) for one in folders]
    for name, tensor in difference[0].items():
        torch.testing.assert_close(difference[1][name], tensor, rtol=1e-4, atol=1e-5)


def as_loaded(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint as plain transformers and peft load them."""
    base = Blip2ForConditionalGeneration.from_pretrained(checkpoint)
    return dict(PeftModel.from_pretrained(base, str(checkpoint / "adapter")).state_dict())


def test_sigterm_ends_a_run_with_a_checkpoint_that_goes_on(folder: Path, monkeypatch: Any) -> None:
    trained(folder, "output=whole", "checkpoints.every_steps=null")
    step = StageRun._step

    def signalled(self: StageRun, batches: list[Batch]) -> Any:
        if self._progress.step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        return step(self, batches)

    with monkeypatch.context() as patched:
        patched.setattr(StageRun, "_step", signalled)
        with pytest.raises(Stopped, match="stopped after step 5"):
            trained(folder, "checkpoints.every_steps=null")
    trained(folder, "checkpoints.every_steps=null")
    assert told(folder / "run") == told(folder / "whole")
    assert same(weights(folder / "run"), weights(folder / "whole"))


def test_a_finished_run_does_nothing_more(folder: Path) -> None:
    first = trained(folder)
    before = (folder / "run" / METRICS).read_bytes()
    again = trained(folder)
    assert again.checkpoint == first.checkpoint
    assert (folder / "run" / METRICS).read_bytes() == before


def spoiled(when: Callable[[int], bool]) -> Any:
    """`_inputs` with pictures of no numbers in some steps."""
    inputs = StageRun._inputs

    def with_nan(self: StageRun, batch: Batch) -> Any:
        sequences, pixels = inputs(self, batch)
        return sequences, pixels * float("nan") if pixels is not None and when(
            self._progress.step
        ) else pixels

    return with_nan


def test_a_step_with_an_undefined_gradient_is_left_out_and_counted(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(StageRun, "_inputs", spoiled(lambda step: step == 4))
    outcome = trained(folder, "validation=null")
    assert outcome.progress.left_out == 1
    assert all(torch.isfinite(tensor).all() for tensor in weights(folder / "run").values())
    lines = told(folder / "run")
    assert [line["steps_left_out"] for line in lines][3:6] == [0, 1, 1]
    assert lines[4]["loss"] is None
    assert lines[5]["loss"] is not None


def test_many_undefined_gradients_in_a_row_stop_the_run(folder: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(StageRun, "_inputs", spoiled(lambda step: step >= 4))
    words = r"step 7: 3 steps in a row had an infinite or undefined gradient \(the loss of tiny/"
    with pytest.raises(RunError, match=words):
        trained(folder, "non_finite=3", "validation=null")


def test_a_mix_smaller_than_a_step_is_told(folder: Path) -> None:
    told = r"^--set: stages\.0\.batch_size is 128: an epoch has .* fewer than the 32 of one step"
    with pytest.raises(SettingsError, match=told):
        trained(folder, "stages=[{name: a, learning_rates: {lora: 1e-3}, steps: 2, batch_size: 128}]")


def test_a_run_without_held_out_rows_says_so(folder: Path, capsys: Any) -> None:
    manifest = folder / "mix/manifest.json"
    content = json.loads(manifest.read_text())
    content["files"] = [one for one in content["files"] if "validation" not in one["path"]]
    manifest.write_text(json.dumps(content))
    outcome = train(configured(folder), Console(soft_wrap=True), quiet=True)
    assert outcome.best is None
    assert "no validation" in capsys.readouterr().out


def test_held_out_rows_that_cannot_be_read_are_no_validation(folder: Path, capsys: Any) -> None:
    gone = {"bytes": None, "path": "gone.jpg"}
    rows = [row_of(200 + number, "deu_Latn", image=gone) for number in range(3)]
    write_mix(folder / "mix", {"deu_Latn": rows}, split="validation")
    outcome = train(configured(folder), Console(soft_wrap=True), quiet=True)
    assert outcome.best is None
    assert "none of the held-out rows that are looked at can be used" in capsys.readouterr().out


def test_a_later_stage_is_checked_with_the_settings_of_its_texts(folder: Path) -> None:
    """The template answers elsewhere than it asks, so that only without it the run goes through."""
    tokenizer = tiny.tokenizer("qwen2")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}?{% endif %}"
    )
    shutil.copytree(folder / "parts/qwen2", folder / "llm")
    tokenizer.save_pretrained(folder / "llm")
    options = ("model.llm=llm", "model.connector=mlp", "model.vision_layer=-2", "texts.chat=false")
    stage = "learning_rates: {projection: 1e-3}, steps: 1, batch_size: 8"
    stages = f"stages=[{{name: a, {stage}}}, {{name: b, {stage}}}]"
    assert trained(folder, *options, stages).progress.finished


def test_a_broken_picture_is_counted_and_training_goes_on(folder: Path) -> None:
    rows = {"deu_Latn": [row_of(number, "deu_Latn") for number in range(32)]}
    rows["deu_Latn"][3]["image"] = {"bytes": b"\xff\xd8\xff broken", "path": "3.jpg"}
    shutil.rmtree(folder / "mix")
    write_mix(folder / "mix", rows)
    trained(folder, "validation=null", "stages.0.steps=8")
    assert told(folder / "run")[-1]["examples_skipped"] >= 1


def test_a_stage_has_data_of_its_own_and_says_how_its_pictures_are_prepared(folder: Path) -> None:
    write_mix(folder / "other", rows_of({"fra_Latn": 16}))
    trained(folder, "stages.1.data={mixes: [other], fit: pad, workers: 0}", "stages.1.epochs=2")
    lines = [line for line in told(folder / "run") if line["kind"] == "train"]
    languages = {name for line in lines for name in line["loss_by_language"] if line["stage"] == "main"}
    assert languages == {"fra_Latn"}
    last = max((folder / "run" / CHECKPOINTS).glob("step-*"))
    assert json.loads((last / "realign.json").read_text())["pictures"]["fit"] == "pad"


def test_bfloat16_checkpointing_and_workers_train_too(folder: Path) -> None:
    outcome = trained(
        folder, "precision=bfloat16", "gradient_checkpointing=true", "data.workers=1", "stages.1.epochs=0.5"
    )
    assert outcome.progress.finished
    lines = [line for line in told(folder / "run") if line["kind"] == "train"]
    assert all(0 < line["loss"] < 20 for line in lines)
    assert all(tensor.dtype == torch.float32 for tensor in weights(folder / "run").values())


def test_sigterm_to_all_processes_of_a_run_ends_it_with_a_checkpoint(folder: Path) -> None:
    script = folder / "one.py"
    script.write_text(
        "import sys\n"
        "from rich.console import Console\n"
        "from training.configuration import load_configuration\n"
        "from training.train import train\n"
        "if __name__ == '__main__':\n"
        "    train(load_configuration(sys.argv[1], sys.argv[2:]), Console(quiet=True), quiet=True)\n"
    )
    arguments = ["data.workers=1", "stages.1.epochs=500", "validation=null", "checkpoints.every_steps=null"]
    process = subprocess.Popen(
        [sys.executable, str(script), str(folder / "test.yaml"), *arguments],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    metrics = folder / "run" / METRICS
    while process.poll() is None and (not metrics.exists() or metrics.read_text().count("\n") < 5):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert "Stopped: stopped after step" in errors.decode(), errors.decode()[-3000:]
    assert list((folder / "run" / CHECKPOINTS).glob("step-*"))


def of_both_mixes(folder: Path) -> None:
    """`other`, beside `mix`: each trains on two pictures that the other one holds out."""
    others = [row_of(number, "fra_Latn") for number in (200, 201, *range(300, 320))]
    write_mix(folder / "other", {"fra_Latn": others})
    write_mix(
        folder / "other", {"fra_Latn": [row_of(number, "fra_Latn") for number in (0, 1)]}, split="validation"
    )


@pytest.mark.parametrize("second", ["data.mixes=[mix, other]", "stages.1.data={mixes: [other], workers: 0}"])
def test_pictures_that_any_mix_of_the_run_holds_out_are_not_trained_on(
    folder: Path, monkeypatch: Any, capsys: Any, second: str
) -> None:
    of_both_mixes(folder)
    seen: set[str] = set()
    step = StageRun._step

    def noted(self: StageRun, batches: list[Batch]) -> Any:
        seen.update(name for batch in batches for name in batch.ids)
        return step(self, batches)

    monkeypatch.setattr(StageRun, "_step", noted)
    train(configured(folder, second, "stages.0.steps=16"), Console(soft_wrap=True), quiet=True)
    pictures = {name.split("/")[1] for name in seen}
    assert not pictures & {"0", "1", "200", "201"}
    assert {"2", "300"} <= pictures
    lines = [line for line in told(folder / "run") if line["kind"] == "train"]
    assert lines[0]["rows_held_out"] == (4 if "data.mixes" in second else 2)
    assert "rows are not trained on: a mix of this run holds out what they show" in capsys.readouterr().out
