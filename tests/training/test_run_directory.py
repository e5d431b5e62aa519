from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Synced
from training.configuration import Configuration, load_configuration
from training.run_directory import (
    CHECKPOINTS,
    OPTIMISER,
    STATE,
    TRAINING_STATE,
    OtherConfiguration,
    Progress,
    RunDirectory,
    RunError,
    chosen_checkpoint,
)

TEXT = """
name: test
output: run
model: {vision: owner/vision, llm: owner/llm}
data: {mixes: [mix]}
stages: [{name: main, learning_rates: {lora: 2e-4}, steps: 100, batch_size: 8}]
checkpoints: {keep: 2}
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return configured(tmp_path)


def configured(folder: Path, *overrides: str) -> Configuration:
    (folder / "mix").mkdir(exist_ok=True)
    (folder / "test.yaml").write_text(TEXT)
    return load_configuration(folder / "test.yaml", overrides)


def test_the_best_checkpoint_of_an_earlier_stage_is_not_chosen(configuration: Configuration) -> None:
    with RunDirectory(configuration) as run:
        run.save(Progress(step=3), state(), weights, best=1.5)
        assert chosen_checkpoint(configuration.run_directory).name == "step-00000003"
        run.save(Progress(step=5, stage=1), state(), weights, stage=1)
        assert run.best() is None
    assert chosen_checkpoint(configuration.run_directory).name == "step-00000005"


def weights(folder: Path, frozen: Path) -> None:
    (folder / "config.json").write_text("{}")


def state() -> dict[str, torch.Tensor]:
    return {"a/exp_avg": torch.tensor([0.5]), "a/step": torch.tensor(3.0)}


def names(configuration: Configuration) -> list[str]:
    return sorted(path.name for path in (configuration.run_directory / CHECKPOINTS).iterdir())


def test_a_checkpoint_gives_back_where_the_run_stood(configuration: Configuration) -> None:
    progress = Progress(stage=1, stage_step=7, step=12, loader={"epoch": 3}, sums={"loss": 0.1}, seconds=4.5)
    with RunDirectory(configuration) as run:
        run.save(progress, state(), weights)
    with RunDirectory(configuration) as run:
        latest = run.latest()
        assert latest is not None
        assert latest.name == "step-00000012"
        assert run.progress_of(latest) == progress
        assert run.optimiser_of(latest) == state()


def test_the_last_ones_and_the_best_are_kept(configuration: Configuration) -> None:
    with RunDirectory(configuration) as run:
        for step in range(1, 6):
            run.save(Progress(step=step), state(), weights, best=1.5 if step == 2 else None)
        assert names(configuration) == [f"step-0000000{step}" for step in (2, 4, 5)]
        assert run.best() == ("step-00000002", 1.5, 0)
    assert chosen_checkpoint(configuration.run_directory).name == "step-00000002"


def test_without_a_best_one_the_last_is_chosen(configuration: Configuration, tmp_path: Path) -> None:
    with RunDirectory(configuration) as run:
        with pytest.raises(RunError, match="no checkpoint yet"):
            chosen_checkpoint(configuration.run_directory)
        run.save(Progress(step=1), state(), weights)
        run.save(Progress(step=2), state(), weights)
    assert chosen_checkpoint(configuration.run_directory).name == "step-00000002"
    assert chosen_checkpoint(tmp_path) == tmp_path


def test_another_configuration_is_refused_with_what_differs(configuration: Configuration) -> None:
    with RunDirectory(configuration) as run:
        run.save(Progress(step=1, stage_step=1), state(), weights)
    other = configured(configuration.run_directory.parent, "stages.0.batch_size=16", "seed=3")
    with pytest.raises(OtherConfiguration) as caught:
        RunDirectory(other)
    assert "stages.0.batch_size: 8 there, 16 here" in str(caught.value)
    assert "seed: 17 there, 3 here" in str(caught.value)
    # The lock is free again.
    RunDirectory(configuration).close()


LATER = (
    "stages=[{name: main, learning_rates: {lora: 2e-4}, steps: 100, batch_size: 8},"
    " {name: last, learning_rates: {lora: 1e-4}, steps: 50, batch_size: 8}]"
)


@pytest.mark.parametrize("progress", [Progress(step=1, stage_step=1), Progress(step=100, stage=1)])
def test_a_stage_that_has_not_begun_may_change(tmp_path: Path, progress: Progress) -> None:
    with RunDirectory(configured(tmp_path, LATER)) as run:
        run.save(progress, state(), weights)
    mended = configured(tmp_path, LATER, "stages.1.batch_size=16", "stages.1.learning_rates.lora=2e-4")
    with RunDirectory(mended) as run:
        assert run.latest() is not None
    with pytest.raises(OtherConfiguration, match=r"stages\.0\.batch_size: 8 there, 24 here"):
        RunDirectory(configured(tmp_path, LATER, "stages.0.batch_size=24"))


def test_a_stage_that_has_not_begun_may_get_another_mix(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()

    def of(first: str, second: str) -> RunDirectory:
        mixes = (
            f"stages.{number}.data.mixes=[{tmp_path / name}]" for number, name in enumerate((first, second))
        )
        return RunDirectory(configured(tmp_path, LATER, *mixes), ["common", first, second])

    with of("a", "b") as run:
        run.save(Progress(step=1, stage_step=1), state(), weights)
    of("a", "c").close()
    with pytest.raises(OtherConfiguration, match=r"and the rows of \S*/c are others since it began"):
        of("c", "b")


def test_a_stage_that_has_begun_and_what_is_trained_may_not_change(tmp_path: Path) -> None:
    with RunDirectory(configured(tmp_path, LATER)) as run:
        run.save(Progress(step=1, stage_step=1), state(), weights)
    with pytest.raises(OtherConfiguration, match=r"learning_rates\.llm: nothing there, 1e-05 here"):
        RunDirectory(configured(tmp_path, LATER, "stages.1.learning_rates.llm=1e-5"))
    with RunDirectory(configured(tmp_path, LATER)) as run:
        run.save(Progress(step=101, stage=1, stage_step=1), state(), weights)
    with pytest.raises(OtherConfiguration, match=r"stages\.1\.batch_size: 8 there, 16 here"):
        RunDirectory(configured(tmp_path, LATER, "stages.1.batch_size=16"))


def test_what_does_not_decide_on_the_weights_may_change(configuration: Configuration) -> None:
    with RunDirectory(configuration) as run:
        run.save(Progress(step=1), state(), weights)
    other = configured(configuration.run_directory.parent, "checkpoints.keep=1", "log.every_steps=3")
    with RunDirectory(other) as run:
        assert run.latest() is not None


def test_two_processes_do_not_train_in_one_directory(configuration: Configuration) -> None:
    with RunDirectory(configuration), pytest.raises(RunError, match="another process trains there"):
        RunDirectory(configuration)


def test_other_ranks_neither_lock_nor_write(configuration: Configuration) -> None:
    with RunDirectory(configuration) as first, RunDirectory(configuration, main=False) as second:
        first.save(Progress(step=4), state(), weights)
        assert second.latest() == first.latest()


def test_a_write_that_fails_leaves_nothing_that_looks_finished(configuration: Configuration) -> None:
    def full(folder: Path, frozen: Path) -> None:
        (folder / "config.json").write_text("{")
        raise OSError(28, "No space left on device")

    with RunDirectory(configuration) as run:
        run.save(Progress(step=1), state(), weights)
        with pytest.raises(RunError, match="No space left on device"):
            run.save(Progress(step=2), state(), full)
        assert names(configuration) == ["step-00000001"]


def test_a_checkpoint_is_on_disk_before_it_has_its_name(
    configuration: Configuration, synced: list[Synced]
) -> None:
    with RunDirectory(configuration) as run:
        synced.clear()
        run.save(Progress(step=1), state(), weights)
    folder = configuration.run_directory / CHECKPOINTS
    new = folder / ".unfinished-step-00000001"
    *content, last = synced
    assert {path for path, _ in content} == {
        new,
        new / "config.json",
        new / TRAINING_STATE,
        new / TRAINING_STATE / OPTIMISER,
        new / TRAINING_STATE / STATE,
    }
    assert last == (folder, ("step-00000001",))


def test_what_a_kill_leaves_of_a_checkpoint_that_was_over_does_not_look_finished(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(folder: Path) -> None:
        (folder / "config.json").unlink()
        raise KeyboardInterrupt

    with RunDirectory(configuration) as run:
        for step in (1, 2):
            run.save(Progress(step=step), state(), weights)
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "rmtree", killed)
            with pytest.raises(KeyboardInterrupt):
                run.save(Progress(step=3), state(), weights)
        assert [path.name for path in run.checkpoints()] == ["step-00000002", "step-00000003"]
    with RunDirectory(configuration):
        assert names(configuration) == ["step-00000002", "step-00000003"]


def test_a_kill_while_writing_leaves_the_checkpoint_before(configuration: Configuration) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from training.configuration import load_configuration\n"
        "from training.run_directory import Progress, RunDirectory\n"
        "def weights(folder, frozen):\n"
        "    (folder / 'config.json').write_text('{}')\n"
        "    if folder.name.endswith('2'): os.kill(os.getpid(), signal.SIGKILL)\n"
        "run = RunDirectory(load_configuration(sys.argv[1]))\n"
        "run.save(Progress(step=1), {}, weights)\n"
        "run.save(Progress(step=2), {}, weights)\n"
    )
    file = configuration.run_directory.parent / "test.yaml"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(file)], check=False, cwd=Path(__file__).parents[2], env=os.environ
    )
    assert ended.returncode == -9
    assert len(names(configuration)) == 2
    with RunDirectory(configuration) as run:
        assert names(configuration) == ["step-00000001"]
        latest = run.latest()
        assert latest is not None
        assert run.progress_of(latest).step == 1


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        (STATE, b"{"),
        (STATE, b"{}"),
        (STATE, b'{"progress": {"steps": 1}, "configuration": {"model": {}}}'),
        (OPTIMISER, b"\0\0"),
    ],
)
def test_a_damaged_state_is_named(configuration: Configuration, file: str, damage: bytes) -> None:
    with RunDirectory(configuration) as run:
        checkpoint = run.save(Progress(step=1), state(), weights)
        (checkpoint / TRAINING_STATE / file).write_bytes(damage)
        read = run.progress_of if file == STATE else run.optimiser_of
        with pytest.raises(RunError, match=f"{file}.*remove .*step-00000001"):
            read(checkpoint)


def test_a_checkpoint_is_the_best_one_as_soon_as_it_exists(
    configuration: Configuration, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RunDirectory(configuration) as run:
        run.save(Progress(step=1), state(), weights, best=2.5)
        rename = Path.replace

        def killed(path: Path, target: Path) -> None:
            rename(path, target)
            raise KeyboardInterrupt

        monkeypatch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            run.save(Progress(step=2), state(), weights, best=1.5)
        monkeypatch.undo()
        assert run.best() == ("step-00000002", 1.5, 0)
    assert chosen_checkpoint(configuration.run_directory).name == "step-00000002"


def test_a_checkpoint_whose_state_cannot_be_read_is_not_the_best(configuration: Configuration) -> None:
    with RunDirectory(configuration) as run:
        first = run.save(Progress(step=1), state(), weights, best=0.5)
        run.save(Progress(step=2), state(), weights, best=0.4)
        (first / TRAINING_STATE / STATE).write_text("[]")
        assert run.best() == ("step-00000002", 0.4, 0)


def test_the_state_holds_no_pickle(configuration: Configuration) -> None:
    with RunDirectory(configuration) as run:
        checkpoint = run.save(Progress(step=1), state(), weights)
    files: list[Any] = sorted(path.name for path in (checkpoint / TRAINING_STATE).iterdir())
    assert files == [OPTIMISER, STATE]
    assert json.loads((checkpoint / TRAINING_STATE / STATE).read_text())["progress"]["step"] == 1


def test_other_mixes_are_another_run(configuration: Configuration) -> None:
    with RunDirectory(configuration, ["aaaa"]) as run:
        run.save(Progress(step=1, finished=True), state(), weights)
        digest = run.digest
    with pytest.raises(OtherConfiguration, match=r"and the rows of .*/mix are others since it began"):
        RunDirectory(configuration, ["bbbb"])
    with RunDirectory(configuration, ["aaaa"]) as run:
        assert run.digest == digest


def test_a_best_checkpoint_that_is_gone_is_none(configuration: Configuration) -> None:
    with RunDirectory(configuration) as run:
        checkpoint = run.save(Progress(step=1), state(), weights, best=0.5)
        shutil.rmtree(checkpoint)
        assert run.best() is None
