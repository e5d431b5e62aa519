"""Refilter: the mix that a run with the other filters makes, byte for byte, and safe at every moment."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from rich.console import Console

from pipelines import filesystem, journal, resharding
from pipelines.cli import main
from pipelines.journal import is_interrupted, staged
from pipelines.manifest import read_manifest
from pipelines.recipe import SettingsError
from pipelines.refilter import refilter
from pipelines.resharding import RefilterFailed
from pipelines.verify import problems
from translation.filters import Policy
from translation.filters.thresholds import LENGTHS, Threshold, Thresholds, default_thresholds
from translation.row import row_schema

STRICT = ("filters.model_score.min=-0.6", "filters.length_ratio.max=1.2")
"""Reject many rows of the small model, by the target or by the prompt alone, and leave others."""
LOOSE = ("filters.model_score.min=null", "filters.length_ratio.max=null")
OTHERS = tuple(
    f"filters.{name}.{side}=null"
    for name, rule in Policy().rules()
    for side in ("min", "max")
    if hasattr(rule, side) and (name, side) not in {("model_score", "min"), ("length_ratio", "max")}
)
"""So that these tests do not depend on the calibrated bounds of all rules."""


def run(recipe: Path, mix: Path, *overrides: str) -> Path:
    arguments = [argument for override in overrides for argument in ("--set", override)]
    result = subprocess.run(
        [
            sys.executable, "-m", "pipelines.cli", "run", str(recipe), "--output", str(mix), "--quiet",
            *arguments,
        ],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return mix


def content(mix: Path) -> dict[str, str]:
    """Every file of a mix, also of a working directory, and the digest of its bytes."""
    return {
        str(path.relative_to(mix)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(mix.rglob("*"))
        if path.is_file()
    }


def folders(mix: Path) -> set[str]:
    return {str(path.relative_to(mix)) for path in mix.rglob("*") if path.is_dir()}


def again(mix: Path, *overrides: str, dry_run: bool = False) -> Any:
    return refilter(str(mix), overrides, Console(file=io.StringIO()), dry_run=dry_run, quiet=True)


def copy_of(mix: Path, folder: Path) -> Path:
    shutil.copytree(mix, folder / "mix")
    return folder / "mix"


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[[Path], Path]) -> Path:
    """Translated prompts, and pictures large enough for several shards of 1 MB a language."""
    path = make_recipe(tmp_path_factory.mktemp("recipe") / "tiny")
    text = path.read_text(encoding="utf-8")
    text = text.replace("prompt: keep", "prompt: translate").replace("round_trip: none", "round_trip: short")
    path.write_text(text + "shard_megabytes: 1\n", encoding="utf-8")
    for picture in sorted((path.parent / "images").iterdir())[:12]:
        Image.effect_noise((330, 330), 90).save(picture)
    return path


@pytest.fixture(scope="module")
def strict(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(recipe, tmp_path_factory.mktemp("strict") / "mix", *STRICT, *OTHERS)


@pytest.fixture(scope="module")
def loose(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(recipe, tmp_path_factory.mktemp("loose") / "mix", *LOOSE, *OTHERS)


def test_the_mixes_of_these_tests_differ_in_more_than_a_few_rows(strict: Path, loose: Path) -> None:
    before, after = read_manifest(str(strict)), read_manifest(str(loose))
    assert after.accepted - before.accepted > 10
    assert {file.path for file in after.files} != {file.path for file in before.files}
    assert any(file.path.endswith("-of-00002.parquet") for file in after.files + before.files)
    reasons = [
        reason
        for path in strict.glob("rejected/*/*.parquet")
        for reason in pq.read_table(path, columns=["reason"]).column(0).to_pylist()
    ]
    assert any(reason.startswith("model_score") and reason.endswith("(in the prompt)") for reason in reasons)
    assert any(reason.startswith("length_ratio") and reason.endswith("wanted") for reason in reasons)


@pytest.mark.parametrize("looser", [True, False])
def test_the_result_is_that_of_a_run_with_these_filters(
    strict: Path, loose: Path, tmp_path: Path, looser: bool
) -> None:
    start, goal, change = (strict, loose, LOOSE) if looser else (loose, strict, STRICT)
    mix = copy_of(start, tmp_path)
    outcome = again(mix, *change)
    assert content(mix) == content(goal)
    assert folders(mix) == folders(goal)
    assert outcome.after == read_manifest(str(goal))
    assert not list(problems(str(mix)))


def test_there_and_back_is_the_old_mix(strict: Path, tmp_path: Path) -> None:
    mix = copy_of(strict, tmp_path)
    again(mix, *LOOSE)
    assert content(mix) != content(strict)
    again(mix, *STRICT)
    assert content(mix) == content(strict)


def test_the_answer_table_has_the_new_verdicts_unless_somebody_changed_it(
    strict: Path, tmp_path: Path
) -> None:
    """That it is the table of a run follows from the other tests."""
    mix = copy_of(strict, tmp_path)
    before = (mix / "answers.tsv").read_text(encoding="utf-8")
    outcome = again(mix, *LOOSE)
    assert outcome.after.answers.failed < outcome.before.answers.failed
    assert (mix / "answers.tsv").read_text(encoding="utf-8") != before
    (mix / "answers.tsv").write_text("mine", encoding="utf-8")
    again(mix, *STRICT)
    assert (mix / "answers.tsv").read_text(encoding="utf-8") == "mine"


def test_the_answer_table_follows_answers_of_every_task(recipe: Path, tmp_path: Path) -> None:
    """Those that questions are to be found for, and a yes or no that nobody has checked, as in Lao."""
    settings = (
        "sources.0.tasks=[matching]", "sources.1.tasks=[vqg]", "languages.codes=[deu_Latn, lao_Laoo]",
        "languages.english_share=0", "filters.length_ratio.max=null", *OTHERS,
    )  # fmt: skip
    tight, wide = "filters.model_score.min=-0.1", "filters.model_score.min=null"
    start = run(recipe, tmp_path / "tight", *settings, tight)
    goal = run(recipe, tmp_path / "wide", *settings, wide)
    tables = [
        [line.split("\t") for line in (mix / "answers.tsv").read_text(encoding="utf-8").splitlines()]
        for mix in (start, goal)
    ]
    turned = {(old[0], old[1]) for old, new in zip(*tables, strict=True) if old[-1] != new[-1]}
    assert {("lao_Laoo", "no"), ("lao_Laoo", "yes")} & turned
    assert any(code == "deu_Latn" for code, _ in turned)
    again(start, wide)
    assert content(start) == content(goal)
    again(start, tight)
    again(goal, tight)
    assert content(start) == content(goal)


def test_files_whose_rows_stay_are_not_written(strict: Path, tmp_path: Path) -> None:
    mix = copy_of(strict, tmp_path)
    before = {path: path.stat().st_ino for path in mix.glob("*/*/*.parquet")}
    outcome = again(mix, *LOOSE)
    english = {path for path in before if "eng_Latn" in str(path)}
    assert english
    assert all(path.stat().st_ino == before[path] for path in english)
    written = {str(mix / file.path) for file in outcome.written}
    assert all(
        str(path) in written or path.stat().st_ino == before.get(path) for path in mix.glob("*/*/*.parquet")
    )


def test_another_bound_with_the_same_verdicts_rewrites_only_the_reasons(loose: Path, tmp_path: Path) -> None:
    mix = copy_of(loose, tmp_path)
    again(mix, "filters.length_ratio.max=0.0001")
    outcome = again(mix, "filters.length_ratio.max=0.0002")
    assert outcome.after.counts == outcome.before.counts
    assert outcome.written
    assert not any(file.accepted for file in outcome.written)
    reasons = pq.read_table(mix / outcome.written[0].path, columns=["reason"]).column(0).to_pylist()
    assert any("at most 0.0002 wanted" in reason for reason in reasons)
    assert not any("0.0001" in reason for reason in reasons)


def test_nothing_changes_without_an_override(strict: Path, tmp_path: Path) -> None:
    mix = copy_of(strict, tmp_path)
    outcome = again(mix)
    assert outcome.written == ()
    assert content(mix) == content(strict)


def test_rows_that_no_filter_judged_keep_their_verdict(strict: Path, tmp_path: Path) -> None:
    """English rows have no scores; a duplicate has another fault."""
    mix = copy_of(strict, tmp_path)
    outcome = again(mix, "filters.model_score.min=0")
    english = {count.language: count for count in outcome.after.counts}["eng_Latn"]
    assert (english.accepted, english.rejected) == (english.read, 0)
    assert all(count.accepted == 0 for count in outcome.after.counts if count.language != "eng_Latn")


def test_bad_records_stay_rejected_whatever_the_filters(
    make_recipe: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = make_recipe(tmp_path / "tiny")
    questions = path.parent / "questions.jsonl"
    lines = questions.read_text(encoding="utf-8").splitlines()
    record = json.loads(lines[0])
    picture = path.parent / "images" / Path(record["image"]).name
    (path.parent / "images" / "cut.png").write_bytes(picture.read_bytes()[:200])
    bad = [lines[0], "{broken", json.dumps(record | {"id": "cut", "image": "cut.png"})]
    questions.write_text("\n".join([*lines, *bad]) + "\n", encoding="utf-8")
    codes = "languages.codes=[deu_Latn, ceb_Latn]"
    mix = run(path, tmp_path / "mix", codes, "filters.model_score.min=-0.2")
    goal = run(path, tmp_path / "goal", codes, "filters.model_score.min=-2")
    outcome = again(mix, "filters.model_score.min=-2")
    assert content(mix) == content(goal)
    reasons = {reason for count in outcome.after.counts for reason in count.reasons}
    assert {"duplicate", "source", "image", "language"} <= reasons
    hopeless = [
        row["image"]
        for path in mix.glob("rejected/*/*.parquet")
        for row in pq.read_table(path, columns=["image", "reason"]).to_pylist()
        if row["reason"].split(":")[0] in ("duplicate", "image", "language")
    ]
    assert hopeless
    assert all(image["bytes"] is None and image["path"].endswith(".png") for image in hopeless)


def test_rejected_rows_hold_their_picture_if_another_filter_could_accept_them(
    strict: Path, loose: Path
) -> None:
    rows = [
        row
        for path in strict.glob("rejected/*/*.parquet")
        for row in pq.read_table(path, columns=["image", "reason"]).to_pylist()
    ]
    assert rows
    assert all(row["image"]["bytes"].startswith(b"\x89PNG") for row in rows)


def test_datasets_sees_the_accepted_rows_alone(
    strict: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    mix = copy_of(strict, tmp_path)
    after = again(mix, *LOOSE).after
    everything = datasets.load_dataset(str(mix), cache_dir=str(tmp_path / "cache"))
    assert sum(split.num_rows for split in everything.values()) == after.accepted
    assert {row for split in everything.values() for row in split["verdict"]} == {"accept"}
    assert all(picture.size for picture in everything["train"]["image"])


def test_a_reference_mix_needs_no_pictures(recipe: Path, tmp_path: Path) -> None:
    mix = run(recipe, tmp_path / "mix", "images=reference", *STRICT, *OTHERS)
    goal = run(recipe, tmp_path / "goal", "images=reference", *LOOSE, *OTHERS)
    again(mix, *LOOSE)
    assert content(mix) == content(goal)


def test_an_accepted_row_without_its_picture_stops_the_refilter(strict: Path, tmp_path: Path) -> None:
    """As in mixes of versions that kept no picture of a rejected row."""
    mix = copy_of(strict, tmp_path)
    for path in mix.glob("rejected/*/*.parquet"):
        table = pq.read_table(path)
        rows = [row | {"image": {"bytes": None, "path": "x.png"}} for row in table.to_pylist()]
        pq.write_table(pa.Table.from_pylist(rows, schema=row_schema()), path)
    before = content(mix)
    with pytest.raises(RefilterFailed, match=r"its picture is not in the mix.*--overwrite"):
        again(mix, *LOOSE)
    assert content(mix) == before


# --- Interruption -----------------------------------------------------------------------------------


class Interrupted(BaseException):
    """Like Ctrl-C or the end of a process: nothing catches it."""


STEPS = (
    (filesystem, "write_atomically"),
    (journal, "write_text"),
    (journal, "move"),
    (journal, "remove"),
    (resharding, "write_shard"),
)


def interrupting(monkeypatch: pytest.MonkeyPatch, at: int, before: bool) -> list[str]:
    """From the step number `at` on, every step that writes raises, before or after its work."""
    steps: list[str] = []

    def wrap(module: Any, name: str) -> None:
        real = getattr(module, name)

        def step(*arguments: Any, **named: Any) -> Any:
            number = len(steps)
            steps.append(name)
            if number > at or (number == at and before):
                raise Interrupted
            made = real(*arguments, **named)
            if number == at:
                raise Interrupted
            return made

        monkeypatch.setattr(module, name, step)

    for module, name in STEPS:
        wrap(module, name)
    return steps


@pytest.fixture(scope="module")
def small(
    tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[[Path], Path]
) -> tuple[Path, dict[str, str], dict[str, str]]:
    """A mix of two languages, its content before, and after `LOOSE`."""
    folder = tmp_path_factory.mktemp("small")
    codes = "languages.codes=[deu_Latn, fra_Latn]"
    mix = run(make_recipe(folder / "tiny"), folder / "mix", codes, *STRICT, *OTHERS)
    goal = copy_of(mix, folder / "goal")
    again(goal, *LOOSE)
    return mix, content(mix), content(goal)


def test_an_interruption_at_any_step_leaves_the_old_mix_or_is_finished_later(
    small: tuple[Path, dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    mix, old, new = small
    assert old != new
    seen = {"old": 0, "journal": 0, "new": 0}
    at, before = 0, True
    while True:
        copy = copy_of(mix, tmp_path / f"{at}-{before}")
        with pytest.MonkeyPatch.context() as patch:
            steps = interrupting(patch, at, before)
            try:
                again(copy, *LOOSE)
            except Interrupted:
                pass
            else:
                break
        shown = {name: digest for name, digest in content(copy).items() if not name.startswith(".work")}
        if is_interrupted(str(copy)):
            seen["journal"] += 1
            with pytest.raises(ValueError, match=r"translate-mix refilter .* finishes it"):
                read_manifest(str(copy))
        elif shown == old:
            seen["old"] += 1
        else:
            assert shown == new
            seen["new"] += 1
        again(copy, *LOOSE)
        assert content(copy) == new, f"after {steps[-1]}, step {at}"
        shutil.rmtree(copy)
        at, before = (at, False) if before else (at + 1, True)
    assert len(steps) == at
    assert all(seen.values()), seen
    assert seen["journal"] > 6


def killed(mix: Path, patch: pytest.MonkeyPatch) -> None:
    """Leaves `mix` with a journal and some of its moves done."""

    with patch.context() as patched:
        real, done = journal.move, []

        def move(source: str, path: str) -> None:
            if len(done) == 2:
                raise Interrupted
            done.append(path)
            real(source, path)

        patched.setattr(journal, "move", move)
        with pytest.raises(Interrupted):
            again(mix, *LOOSE)
    assert is_interrupted(str(mix))


def test_commands_on_an_interrupted_mix_say_what_to_do(
    small: tuple[Path, dict[str, str], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mix = copy_of(small[0], tmp_path)
    killed(mix, monkeypatch)
    for command, code in ((["verify"], 1), (["show"], 2), (["refilter", "--dry-run"], 2)):
        with pytest.raises(SystemExit) as stop:
            main([*command, str(mix)])
        assert stop.value.code == code
        assert f"`translate-mix refilter {mix}` finishes it" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["refilter", str(mix)])
    assert stop.value.code == 0
    assert "it is finished now" in capsys.readouterr().out
    assert content(mix) == small[2]


def test_a_run_that_replaces_an_interrupted_mix_forgets_its_journal(
    make_recipe: Callable[[Path], Path],
    small: tuple[Path, dict[str, str], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mix = copy_of(small[0], tmp_path)
    killed(mix, monkeypatch)
    arguments = ["run", str(make_recipe(tmp_path / "tiny")), "--output", str(mix), "--overwrite", "--quiet"]
    options = [
        option
        for one in ("languages.codes=[deu_Latn, fra_Latn]", *STRICT, *OTHERS)
        for option in ("--set", one)
    ]
    result = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments, *options],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert not is_interrupted(str(mix))
    assert content(mix) == small[1]


def test_a_staged_file_that_was_lost_is_an_error(
    small: tuple[Path, dict[str, str], dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix = copy_of(small[0], tmp_path)
    killed(mix, monkeypatch)
    os.unlink(staged(str(mix), "README.md"))
    with pytest.raises(RefilterFailed, match=r"README\.md: its new content is lost"):
        again(mix)


def test_two_do_not_work_in_one_mix(
    small: tuple[Path, dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    mix = copy_of(small[0], tmp_path)
    lock = mix / ".work" / "lock"
    lock.parent.mkdir()
    with lock.open("w", encoding="ascii") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another run is writing there"):
            again(mix, *LOOSE)
        assert again(mix, *LOOSE, dry_run=True).after.accepted > 0
    again(mix, *LOOSE)
    assert content(mix) == small[2]


# --- Command line -----------------------------------------------------------------------------------


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["refilter", *arguments])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("filters.lidd.min=0.6", "did you mean `lid`?"),
        ("filters.lid.mn=0.6", "did you mean `min`?"),
        ("filters.lid.min=much", "filters.lid.min"),
        ("filters.lid.min='0.6'", "filters.lid.min"),
        ("filters.length_ratio={min: 3, max: 2}", "nothing would pass"),
        ("filters={}", "only `filters.RULE.min`"),
        ("seed=18", "only `filters.RULE.min`"),
        ("languages.english_share=0", "make a new mix"),
        ("filters.lid.min", "is no `key=value`"),
        ("thresholds=missing.tsv", "missing.tsv"),
    ],
)
def test_a_wrong_override_is_one_message_and_exit_2(
    small: tuple[Path, dict[str, str], dict[str, str]],
    capsys: pytest.CaptureFixture[str],
    override: str,
    message: str,
) -> None:
    code, _, err = call(capsys, str(small[0]), "--set", override)
    assert code == 2
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert content(small[0]) == small[1]


def test_the_summary_names_rules_languages_and_time(
    small: tuple[Path, dict[str, str], dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mix = copy_of(small[0], tmp_path)
    sets = [option for one in LOOSE for option in ("--set", one)]
    code, dry, _ = call(capsys, str(mix), *sets, "--dry-run")
    assert code == 0
    assert content(mix) == small[1]
    code, done, _ = call(capsys, str(mix), *sets)
    assert code == 0
    manifest = read_manifest(str(mix))
    for text in (dry, done):
        lines = [line.split() for line in text.splitlines()]
        assert f"{manifest.accepted:,} of {manifest.read:,} rows" in text
        (rule,) = [line for line in lines if line[:1] == ["length_ratio"]]
        assert rule[2] == "0"
        assert int(rule[1]) == -int(rule[3])
        assert {line[0] for line in lines if line} & {"deu_Latn", "fra_Latn"}
        assert "rows read a second" in text
    assert "would be accepted" in dry
    assert "Nothing was written." in dry
    assert "Wrote " in done


def test_thresholds_come_from_a_file_or_with_the_version(
    small: tuple[Path, dict[str, str], dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mix = copy_of(small[0], tmp_path)
    shipped = default_thresholds()
    others = [one for one in shipped.lines if (one.nllb_code, one.rule) != ("deu_Latn", "length_ratio")]
    german = [Threshold("deu_Latn", length, "length_ratio", None, 0.0001, 1, 0.0) for length in LENGTHS]
    mine = Thresholds(shipped.identification, (*others, *german))
    table = tmp_path / "kept.tsv"
    for path in (table, tmp_path / "mine.tsv"):
        path.write_text(mine.text(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    after = again(mix, "thresholds=mine.tsv", "filters.length_ratio.max=calibrated").after
    assert (mix / "thresholds.tsv").read_text(encoding="utf-8") == mine.text()
    # Another table of that name lies where the next one is called from; the mix has kept its own.
    Path("mine.tsv").write_text(shipped.text(), encoding="utf-8")
    again(mix, "filters.model_score.min=-500")
    assert list(problems(str(mix))) == []
    (mix / "thresholds.tsv").unlink()
    with pytest.raises(SettingsError, match=r"mine\.tsv has other bounds than when the mix was made"):
        again(mix, "filters.model_score.min=-400")
    accepted = {count.language: count.accepted for count in after.counts}
    assert accepted["deu_Latn"] == 0
    assert accepted["fra_Latn"] > 0
    assert after.signature.thresholds != read_manifest(str(small[0])).signature.thresholds
    assert after.signature.thresholds == read_manifest(str(mix)).signature.thresholds
    monkeypatch.chdir("/")
    with pytest.raises(SettingsError, match="--set thresholds=null"):
        again(mix)
    again(mix, "thresholds=null", *STRICT)
    assert content(mix) == small[1]
    again(mix, f"thresholds={table}", "filters.model_score.min=null")
    assert (mix / "thresholds.tsv").is_file()
    again(mix, "thresholds=null", *STRICT)
    assert content(mix) == small[1]


def test_a_question_is_judged_in_its_own_language_where_the_answer_stays_english(
    recipe: Path, tmp_path: Path
) -> None:
    shipped = default_thresholds()
    others = [one for one in shipped.lines if (one.nllb_code, one.rule) != ("deu_Latn", "length_ratio")]
    german = [Threshold("deu_Latn", length, "length_ratio", None, 0.0001, 1, 0.0) for length in LENGTHS]
    table = tmp_path / "mine.tsv"
    table.write_text(Thresholds(shipped.identification, (*others, *german)).text(), encoding="utf-8")
    no_others = [one for one in OTHERS if not one.startswith("filters.length_ratio.")]
    mix = run(
        recipe, tmp_path / "mix", *no_others, f"thresholds={table}", "filters.model_score.min=null",
        "filters.length_ratio.max=calibrated", "sources.1.english_answers=1", "languages.english_share=0",
    )  # fmt: skip
    rejected = pq.read_table(mix / "rejected/eng_Latn", columns=["question_language"]).column(0)
    assert "deu_Latn" in rejected.to_pylist()
    before = content(mix)
    (english,) = (one for one in read_manifest(str(mix)).questions if one.language == "deu_Latn")
    assert english.reasons["length_ratio"] == rejected.to_pylist().count("deu_Latn")
    table.unlink()
    again(mix)
    assert content(mix) == before
    (mix / "thresholds.tsv").write_text("mine\n", encoding="utf-8")
    (changed,) = problems(str(mix))
    assert changed.startswith("thresholds.tsv: has changed; ")
    (mix / "thresholds.tsv").unlink()
    assert list(problems(str(mix))) == ["thresholds.tsv: missing"]


def test_a_directory_that_is_no_mix_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no manifest\.json"):
        again(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="no such directory"):
        again(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_a_disk_that_takes_no_moving_rows_is_named_with_the_file(
    small: tuple[Path, dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    mix = copy_of(small[0], tmp_path)
    before = content(mix)
    settings = [argument for override in LOOSE for argument in ("--set", override)]
    result = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "refilter", str(mix), "--quiet", *settings],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert re.fullmatch(
        rf"translate-mix: cannot write {re.escape(str(mix))}/.work/moving-\w+/\d+.arrow: File too large: a "
        r"limit of this process or of the filesystem, reached after [\d,]+ bytes\n",
        result.stderr,
    )
    assert content(mix) == before
    again(mix, *LOOSE)
    assert content(mix) == small[2]


def test_a_damaged_shard_stops_the_refilter(
    small: tuple[Path, dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    mix = copy_of(small[0], tmp_path)
    path = next(mix.glob("rejected/*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-100])
    before = content(mix)
    with pytest.raises(RefilterFailed, match="cannot be read"):
        again(mix, *LOOSE)
    path.unlink()
    with pytest.raises(RefilterFailed, match="cannot be read"):
        again(mix, *LOOSE)
    path.write_bytes((small[0] / path.relative_to(mix)).read_bytes())
    assert content(mix).keys() == before.keys()
    again(mix, *LOOSE)
    assert content(mix) == small[2]


def test_a_lost_card_is_made_again(
    small: tuple[Path, dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    mix = copy_of(small[0], tmp_path)
    (mix / "README.md").unlink()
    again(mix, *LOOSE)
    card = (mix / "README.md").read_text(encoding="utf-8")
    assert "| model " in card
    assert "| source captions | not stated in the recipe |" in card
