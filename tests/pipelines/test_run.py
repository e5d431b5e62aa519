"""`translate-mix run` as a user sees it: a real runner, the real small model, real files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from PIL import Image

from pipelines.manifest import read_manifest
from pipelines.options import beam_options
from pipelines.planning import plan_mix
from pipelines.recipe import load_recipe
from pipelines.run import _owned
from translation.filters import Thresholds, load_thresholds
from translation.mix_folder import LOCK, WORK
from translation.row import row_schema


def run(*arguments: str | Path, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """`translate-mix` in a process of its own; `limit` bytes is the largest file it may write."""

    def set_limit() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        preexec_fn=set_limit,
        env=os.environ | {"COLUMNS": "120"},
        timeout=300,
        check=False,
    )


def rows_of(mix: Path, kind: str = "data") -> list[dict[str, object]]:
    return [
        row for path in sorted(mix.glob(f"{kind}/*/*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def digests(mix: Path) -> dict[str, str]:
    return {
        str(path.relative_to(mix)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(mix.glob("data/*/*.parquet"))
    }


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[[Path], Path]) -> Path:
    folder = tmp_path_factory.mktemp("run")
    result = run("run", make_recipe(folder / "tiny"), "--output", folder / "mix", "--quiet")
    assert result.returncode == 0, result.stderr
    return folder / "mix"


def test_every_row_that_was_read_is_accepted_or_rejected(mix: Path) -> None:
    manifest = read_manifest(str(mix))
    accepted, rejected = rows_of(mix), rows_of(mix, "rejected")
    assert manifest.read == len(accepted) + len(rejected) == 24 + 24 * 5
    assert {row["verdict"] for row in accepted} == {"accept"}
    assert all(row["reason"] for row in rejected)
    assert len({row["id"] for row in accepted + rejected}) == manifest.read


def test_rows_follow_the_schema_and_say_where_they_come_from(mix: Path) -> None:
    for path in mix.glob("data/*/*.parquet"):
        assert pq.read_schema(path).equals(row_schema(), check_metadata=True)
    for row in rows_of(mix):
        assert row["id"].startswith(f"{row['dataset']}/")  # type: ignore[attr-defined]
        assert row["id"].endswith(f"/{row['task']}/{row['language']}")  # type: ignore[attr-defined]
        assert row["image"]["bytes"].startswith(b"\x89PNG")  # type: ignore[index]
        assert row["provenance"]["code_version"]  # type: ignore[index]
        assert row["source_target"]
        if row["language"] == "eng_Latn":
            assert row["target"] == row["source_target"]
            assert row["provenance"]["model"] is None  # type: ignore[index]
        else:
            assert row["provenance"]["model"] == "small"  # type: ignore[index]


def test_prompts_name_the_language_of_the_target(mix: Path) -> None:
    from translation.languages import languages

    wordings = set()
    for row in rows_of(mix):
        wordings.add(row["prompt_language"] == "eng_Latn")
        if row["prompt_language"] == "eng_Latn":
            assert languages()[str(row["language"])].name in str(row["prompt"])
        else:
            assert row["prompt_language"] == row["language"]
            assert languages()[str(row["language"])].name in str(row["source_prompt"])
    assert wordings == {True, False}


def test_one_image_never_stands_on_both_sides(mix: Path) -> None:
    sides: dict[object, set[str]] = {}
    for path in mix.glob("data/*/*.parquet"):
        for image in pq.read_table(path, columns=["image_id"]).column(0).to_pylist():
            sides.setdefault(image, set()).add(path.name.split("-")[0])
    assert all(len(splits) == 1 for splits in sides.values())
    assert {split for splits in sides.values() for split in splits} == {"train", "validation"}


def test_the_manifest_names_every_file_with_rows_and_digest(mix: Path) -> None:
    manifest = read_manifest(str(mix))
    assert {file.path for file in manifest.files} == {
        str(path.relative_to(mix)) for path in mix.glob("*/*/*.parquet")
    }
    for file in manifest.files:
        data = (mix / file.path).read_bytes()
        assert hashlib.sha256(data).hexdigest() == file.sha256
        assert len(data) == file.size
        assert pq.read_metadata(mix / file.path).num_rows == file.rows
    assert not list(mix.rglob("*.partial"))
    assert not (mix / ".work").exists()


def test_verify_finds_what_was_changed(mix: Path, tmp_path: Path) -> None:
    assert run("verify", mix).returncode == 0
    copy = tmp_path / "copy"
    shutil.copytree(mix, copy)
    files = [copy / file.path for file in read_manifest(str(mix)).files]
    files[0].write_bytes(files[0].read_bytes()[:-1] + b"x")
    files[1].write_bytes(b"")
    files[2].unlink()
    (files[3].parent / "train-00009-of-00010.parquet").write_bytes(b"PAR1")
    result = run("verify", copy)
    assert result.returncode == 1
    found = {line.split(": ", 1)[1] for line in result.stdout.splitlines()[:-1]}
    assert len(result.stdout.splitlines()) == 5
    assert {"missing", "is not in the manifest"} <= found
    assert any(line.startswith("its content has changed") for line in found)
    assert any(line.startswith("holds 0 bytes") for line in found)
    (copy / "manifest.json").unlink()
    assert run("verify", copy).returncode == 1


def test_datasets_loads_the_mix_and_decodes_images(
    mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    everything = datasets.load_dataset(str(mix), cache_dir=str(tmp_path))
    assert sum(split.num_rows for split in everything.values()) == len(rows_of(mix))
    assert everything["train"][0]["image"].size == (128, 128)
    german = datasets.load_dataset(str(mix), "deu_Latn", cache_dir=str(tmp_path))
    assert set(german["train"]["language"]) == {"deu_Latn"}


def test_images_are_stored_plain_with_a_page_index(mix: Path) -> None:
    metadata = pq.read_metadata(next(mix.glob("data/*/*.parquet"))).row_group(0)
    columns = {metadata.column(i).path_in_schema: metadata.column(i) for i in range(metadata.num_columns)}
    assert columns["image.bytes"].compression == "UNCOMPRESSED"
    assert "RLE_DICTIONARY" not in columns["image.bytes"].encodings
    assert columns["target"].compression == "ZSTD"
    assert columns["target"].has_offset_index


def test_the_same_seed_gives_the_same_bytes(mix: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    result = run("run", tiny_recipe, "--output", tmp_path / "again", "--quiet")
    assert result.returncode == 0, result.stderr
    assert digests(tmp_path / "again") == digests(mix)


def test_more_workers_give_the_same_rows(mix: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    result = run(
        "run", tiny_recipe, "--output", tmp_path / "again", "--quiet",
        "--direct_num_workers", "2", "--direct_running_mode", "multi_processing",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    assert sorted(map(repr, rows_of(tmp_path / "again"))) == sorted(map(repr, rows_of(mix)))


def test_more_shards_give_the_same_rows(mix: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    arguments = ["--set", "languages.english_share=1", "--quiet"]
    one, many = tmp_path / "one", tmp_path / "many"
    for picture in sorted((tiny_recipe.parent / "images").iterdir())[:8]:
        # 110 kB of noise, in the six rows of each picture.
        Image.effect_noise((330, 330), 90).save(picture)
    assert run("run", tiny_recipe, "--output", one, *arguments).returncode == 0
    assert run("run", tiny_recipe, "--output", many, *arguments, "--set", "shard_megabytes=1").returncode == 0
    assert len(list(many.glob("data/eng_Latn/train-*-of-*.parquet"))) > 2
    assert len(list(one.glob("data/eng_Latn/train-*.parquet"))) == 1
    assert all(path.stat().st_size < 2 * 2**20 for path in many.glob("data/*/*.parquet"))
    assert sorted(map(repr, rows_of(one))) == sorted(map(repr, rows_of(many)))


def test_bad_records_are_rejected_with_reasons(tiny_recipe: Path, tmp_path: Path) -> None:
    folder = tiny_recipe.parent
    good = json.loads((folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()[0])
    picture = folder / "images" / Path(good["image"]).name
    (folder / "images" / "cut.png").write_bytes(picture.read_bytes()[:200])
    records = [
        json.dumps(good),
        json.dumps(good),
        '{"id": "broken", "image"',
        json.dumps(good | {"id": "gone", "image": "gone.png"}),
        json.dumps(good | {"id": "cut", "image": "cut.png"}),
        json.dumps(good | {"id": "empty", "answer": ""}),
        json.dumps(good | {"id": "empty", "answer": " "}),
        json.dumps(good | {"id": "long", "answer": "apple " * 17_000}),
        json.dumps(good | {"id": "hash", "question": "What is # {this} %s?"}),
    ]
    (folder / "questions.jsonl").write_text("\n".join(records) + "\n", encoding="utf-8")
    result = run(
        "run", tiny_recipe, "--output", tmp_path / "mix", "--quiet", "--set", "languages.english_share=1"
    )
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(str(tmp_path / "mix"))
    assert manifest.read == 24 + len(records)
    rejected = rows_of(tmp_path / "mix", "rejected")
    reasons = Counter(str(row["reason"]).split(":")[0] for row in rejected)
    assert reasons == {"duplicate": 1, "source": 4, "image": 2}
    ids = [row["id"] for row in (*rejected, *rows_of(tmp_path / "mix"))]
    assert [row_id for row_id, times in Counter(ids).items() if times > 1] == []
    assert {row["target"] for row in rows_of(tmp_path / "mix") if "#" in str(row["prompt"])} == {
        good["answer"]
    }


def test_records_that_are_not_asked_for_are_counted_and_neither_read_nor_rejected(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    content = yaml.safe_load(tiny_recipe.read_text(encoding="utf-8"))
    asked = [
        json.loads(line) | {"split": "train" if number % 3 else "test"}
        for number, line in enumerate((tiny_recipe.parent / "questions.jsonl").read_text().splitlines())
    ]
    (tiny_recipe.parent / "questions.jsonl").write_text("\n".join(map(json.dumps, asked)))
    (source,) = [one for one in content["sources"] if one.get("path") == "questions.jsonl"]
    content["sources"] = [source | {"where": {"split": "train"}}]
    tiny_recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    result = run("run", tiny_recipe, "--output", tmp_path / "mix")
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(str(tmp_path / "mix"))
    left_out = sum(one["split"] == "test" for one in asked)
    assert manifest.left_out == {source["name"]: left_out}
    assert manifest.read == len(source["tasks"]) * (len(asked) - left_out)
    assert f"not among the rows that were read: {source['name']} {left_out}." in result.stdout


def test_an_unknown_language_stops_with_the_nearest(tiny_recipe: Path, tmp_path: Path) -> None:
    result = run("run", tiny_recipe, "--output", tmp_path / "mix", "--set", "languages.codes=[deu_Ltn]")
    assert result.returncode == 2
    assert "deu_Latn" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "mix").exists()


def test_a_language_without_model_is_rejected_with_that_reason(tiny_recipe: Path, tmp_path: Path) -> None:
    result = run(
        "run", tiny_recipe, "--output", tmp_path / "mix", "--quiet", "--set", "languages.codes=[ceb_Latn]"
    )
    assert result.returncode == 0, result.stderr
    rejected = rows_of(tmp_path / "mix", "rejected")
    assert rejected
    assert {row["reason"] for row in rejected} == {"language: the model 'small' was not trained on Cebuano"}


def test_a_damaged_model_stops_with_one_message(tiny_recipe: Path, tmp_path: Path) -> None:
    from translation.model import model_directory

    model = tmp_path / "model"
    shutil.copytree(model_directory("small"), model)
    (model / "model.bin").write_bytes((model / "model.bin").read_bytes()[:-1000])
    result = run("run", tiny_recipe, "--output", tmp_path / "mix", "--set", f"model={model}")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "model.bin" in result.stderr


def test_a_write_that_fails_stops_with_one_message_and_no_manifest(tiny_recipe: Path, tmp_path: Path) -> None:
    result = run("run", tiny_recipe, "--output", tmp_path / "mix", "--quiet", limit=20_000)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "cannot write" in result.stderr
    assert "File too large" in result.stderr
    assert not (tmp_path / "mix" / "manifest.json").exists()
    assert not list((tmp_path / "mix").rglob("*.partial"))


def test_a_finished_mix_is_not_overwritten(mix: Path, tiny_recipe: Path) -> None:
    before = digests(mix)
    result = run("run", tiny_recipe, "--output", mix, "--quiet")
    assert result.returncode == 2
    assert "--overwrite" in result.stderr
    assert digests(mix) == before


def test_an_unfinished_run_is_taken_up(mix: Path, tiny_recipe: Path, tmp_path: Path) -> None:
    leftover = tmp_path / "again" / "data" / "zul_Latn" / "train-00000-of-00001.parquet"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    (tmp_path / "again" / ".work").mkdir()
    (tmp_path / "again" / ".work" / "lock").touch()
    result = run("run", tiny_recipe, "--output", tmp_path / "again", "--quiet")
    assert result.returncode == 0, result.stderr
    assert digests(tmp_path / "again") == digests(mix)


def test_a_directory_of_something_else_is_left_alone(tiny_recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work", encoding="utf-8")
    result = run("run", tiny_recipe, "--output", tmp_path / "home")
    assert result.returncode == 2
    assert "thesis.tex" in result.stderr


@pytest.mark.parametrize("content", ['{"name": "My web app"}', "[]", '{"format": 1}'])
def test_a_manifest_of_something_else_makes_no_mix(tiny_recipe: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    (tmp_path / "README.md").write_text("my app", encoding="utf-8")
    for overwrite in ([], ["--overwrite"]):
        result = run("run", tiny_recipe, "--output", tmp_path, *overwrite)
        assert result.returncode == 2
        assert "holds files of something else (manifest.json is none of a mix)" in result.stderr
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == "my app"
    assert (tmp_path / "manifest.json").read_text(encoding="utf-8") == content


@pytest.mark.parametrize("output", ["gs:/bucket/mix", "s3://"])
def test_a_url_that_is_none_makes_no_folder(
    tiny_recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("run", tiny_recipe, "--output", output)
    assert result.returncode == 2
    assert f"{output}: no URL; write {output.partition(':')[0]}://" in result.stderr
    assert not list(tmp_path.glob("*:"))


def test_files_of_others_survive_a_run_that_replaces_a_mix(tiny_recipe: Path, tmp_path: Path) -> None:
    mix = tmp_path / "mix"
    (mix / "data").mkdir(parents=True)
    (mix / "data" / "mine.csv").write_text("x", encoding="utf-8")
    refused = run("run", tiny_recipe, "--output", mix)
    assert refused.returncode == 2
    assert "holds files of something else" in refused.stderr
    (mix / "data" / "mine.csv").unlink()
    (mix / "data").rmdir()
    options = ["--quiet", "--set", "languages.english_share=1"]
    assert run("run", tiny_recipe, "--output", mix, *options).returncode == 0
    (mix / "data" / "mine.csv").write_text("x", encoding="utf-8")
    (mix / "data" / "eng_Latn" / "notes.txt").write_text("x", encoding="utf-8")
    # One of the mix that was there.
    (mix / "report.html").write_text("x", encoding="utf-8")
    assert run("run", tiny_recipe, "--output", mix, *options, "--overwrite").returncode == 0
    assert not (mix / "report.html").exists()
    assert (mix / "data" / "mine.csv").exists()
    assert (mix / "data" / "eng_Latn" / "notes.txt").exists()


def test_a_memory_that_cannot_be_opened_leaves_a_finished_mix_alone(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    mix = tmp_path / "mix"
    options = ["--quiet", "--set", "languages.english_share=1"]
    assert run("run", tiny_recipe, "--output", mix, *options).returncode == 0
    shutil.rmtree(mix / "memory")
    (mix / "memory").write_text("x", encoding="utf-8")
    before = digests(mix)
    result = run("run", tiny_recipe, "--output", mix, *options, "--overwrite")
    assert result.returncode != 0
    assert len(result.stderr.splitlines()) == 1
    assert digests(mix) == before
    assert read_manifest(str(mix))


@pytest.mark.parametrize("option", ["--runner=Foo", "--direct_num_workers=-1", "--direct_num_workers=x"])
def test_a_wrong_option_of_beam_leaves_a_finished_mix_alone(
    mix: Path, tiny_recipe: Path, option: str
) -> None:
    before = digests(mix)
    result = run("run", tiny_recipe, "--output", mix, "--overwrite", option)
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert digests(mix) == before
    assert read_manifest(str(mix))


def test_a_finished_run_holds_its_lock_until_nothing_of_its_work_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could take away the lock, and the new files, of who begins in between."""
    held: list[bool] = []
    remove = shutil.rmtree

    def watched(path: Path, **options: bool) -> None:
        with (tmp_path / "mix" / WORK / LOCK).open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                held.append(False)
            except BlockingIOError:
                held.append(True)
        remove(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    with _owned(str(tmp_path / "mix"), False, beam_options([])):
        pass
    assert held == [True]
    assert not (tmp_path / "mix" / WORK).exists()


def test_two_runs_do_not_write_into_one_directory(tiny_recipe: Path, tmp_path: Path) -> None:
    lock = tmp_path / "mix" / ".work" / "lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w", encoding="ascii") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = run("run", tiny_recipe, "--output", tmp_path / "mix")
    assert result.returncode == 2
    assert "another run is writing there" in result.stderr


def test_a_source_that_breaks_off_is_no_success(tiny_recipe: Path, tmp_path: Path) -> None:
    captions = tiny_recipe.parent / "captions.json"
    captions.write_bytes(captions.read_bytes()[:-500])
    result = run("run", tiny_recipe, "--output", tmp_path / "mix", "--set", "languages.english_share=1")
    assert result.returncode == 1
    assert "a source breaks off" in result.stderr
    (row,) = [row for row in rows_of(tmp_path / "mix", "rejected") if row["language"] == "und"]
    assert str(row["reason"]).startswith("truncated: ")


def test_nothing_accepted_is_no_success(tiny_recipe: Path, tmp_path: Path) -> None:
    shares = ["--set", "languages.english_share=0", "--set", "languages.codes=[ceb_Latn]"]
    result = run("run", tiny_recipe, "--output", tmp_path / "mix", *shares)
    assert result.returncode == 1
    assert "No row was accepted." in result.stdout


def test_rejected_rows_hold_no_path_of_this_machine(tiny_recipe: Path, tmp_path: Path) -> None:
    result = run(
        "run", tiny_recipe, "--output", tmp_path / "mix [1]", "--quiet", "--set", "languages.codes=[ceb_Latn]"
    )
    assert result.returncode == 0, result.stderr
    rejected = rows_of(tmp_path / "mix [1]", "rejected")
    assert rejected
    assert not [row for row in rejected if "/" in row["image"]["path"]]  # type: ignore[index]


def test_a_reference_mix_holds_paths_instead_of_bytes(tiny_recipe: Path, tmp_path: Path) -> None:
    result = run("run", tiny_recipe, "--output", tmp_path / "mix", "--quiet", "--set", "images=reference")
    assert result.returncode == 0, result.stderr
    for row in rows_of(tmp_path / "mix"):
        assert row["image"]["bytes"] is None  # type: ignore[index]
        assert Path(row["image"]["path"]).is_file()  # type: ignore[index]


def test_a_reason_says_when_it_is_the_prompt_that_failed(tiny_recipe: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe.read_text(encoding="utf-8").replace("prompt: keep", "prompt: translate")
    tiny_recipe.write_text(recipe, encoding="utf-8")
    # No translation of the small model is that unlikely for a name, and each of a question is.
    options = ["--set", "languages.english_share=0", "--set", "filters.model_score.min=-0.2"]
    result = run("run", tiny_recipe, "--output", tmp_path / "mix", "--quiet", *options)
    assert result.returncode == 0, result.stderr
    reasons = {
        str(row["reason"])
        for row in rows_of(tmp_path / "mix", "rejected")
        if str(row["reason"]).startswith("model_score") and row["task"] == "vqa"
    }
    assert reasons
    assert any(reason.endswith("(in the prompt)") for reason in reasons)


def strict_thresholds(path: Path) -> Path:
    """As they ship, but no caption or answer of French is ever of its expected length."""
    shipped = load_thresholds(None)
    lines = tuple(
        replace(line, min=50.0, max=60.0)
        if (line.nllb_code, line.rule) == ("fra_Latn", "length_ratio")
        else line
        for line in shipped.lines
    )
    path.write_text(Thresholds(shipped.identification, lines).text(), encoding="utf-8")
    return path


def test_thresholds_of_the_recipe_decide_and_stand_in_the_signature(
    mix: Path, tiny_recipe: Path, tmp_path: Path
) -> None:
    table = strict_thresholds(tiny_recipe.parent / "mine.tsv")
    options = ["--quiet", "--set", "thresholds=mine.tsv", "--set", "answers.context=false"]
    result = run("run", tiny_recipe, "--output", tmp_path / "mix", *options)
    assert result.returncode == 0, result.stderr
    manifest = read_manifest(str(tmp_path / "mix"))
    signature = manifest.signature
    assert signature.thresholds == load_thresholds(table).digest
    assert (tmp_path / "mix/thresholds.tsv").read_bytes() == table.read_bytes()
    assert manifest.thresholds == hashlib.sha256(table.read_bytes()).hexdigest()
    assert not (mix / "thresholds.tsv").exists()
    again = [*options[:-2], "--set", f"thresholds={tmp_path}/mix/thresholds.tsv", "--overwrite"]
    refused = run("run", tiny_recipe, "--output", tmp_path / "mix", *again)
    assert refused.returncode == 2
    assert "thresholds.tsv; copy it elsewhere, and name the copy" in refused.stderr
    assert (tmp_path / "mix/manifest.json").exists()
    assert (
        read_manifest(str(mix)).signature.thresholds == load_thresholds(None).digest != signature.thresholds
    )
    french = [row for row in rows_of(tmp_path / "mix", "rejected") if row["language"] == "fra_Latn"]
    assert any("at least 50 wanted" in str(row["reason"]) for row in french)
    captions = [row for row in rows_of(tmp_path / "mix") if row["task"] == "caption"]
    assert "fra_Latn" not in {row["language"] for row in captions} != {"eng_Latn"}
    others = {row["reason"] for row in rows_of(tmp_path / "mix", "rejected") if row["language"] == "deu_Latn"}
    assert not any("50 wanted" in str(reason) for reason in others)


def test_a_trained_judge_scores_rows_rules_them_and_stands_in_the_signature(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    from tests.translation.quality.conftest import make_labse
    from translation.quality import load_quality

    judge = make_labse(tiny_recipe.parent / "judge")
    options = ["--quiet", "--set", "quality=[labse:judge/model]"]
    result = run("run", tiny_recipe, "--output", tmp_path / "mix", *options)
    assert result.returncode == 0, result.stderr
    signature = read_manifest(str(tmp_path / "mix")).signature
    assert signature.quality == load_quality(f"labse:{judge.directory}", "cpu").name
    rows = [row for kind in ("data", "rejected") for row in rows_of(tmp_path / "mix", kind)]
    found = {row["id"]: similarity(row) for row in rows if row["task"] == "caption"}
    told = {row["id"]: row["language"] for row in rows}
    scored = {key: value for key, value in found.items() if told[key] != "eng_Latn"}
    assert scored
    assert all(value is not None and -1 <= value <= 1 for value in scored.values())
    assert all(found[key] is None for key in found.keys() - scored.keys())
    bound = sorted(value for value in scored.values() if value is not None)[len(scored) // 2]
    stricter = ["--set", f"filters.similarity.min={bound}", "--set", "filters.script.min=0"]
    result = run("run", tiny_recipe, "--output", tmp_path / "again", *options, *stricter)
    assert result.returncode == 0, result.stderr
    kept = {row["id"]: similarity(row) for row in rows_of(tmp_path / "again") if row["id"] in scored}
    gone = [row for row in rows_of(tmp_path / "again", "rejected") if "similarity: " in str(row["reason"])]
    assert all(value is not None and value >= bound - 1e-6 for value in kept.values())
    assert gone
    assert all("similarity of meaning, at least" in str(row["reason"]) for row in gone)


def similarity(row: dict[str, object]) -> float | None:
    value: float | None = row["scores"]["similarity"]  # type: ignore[index]
    return value


def test_answers_that_stay_english_are_planned_and_stand_under_english(
    tiny_recipe: Path, tmp_path: Path
) -> None:
    """As in the recipe for GQA: questions in all languages, answers in English."""
    content = yaml.safe_load(tiny_recipe.read_text(encoding="utf-8"))
    questions = content["sources"][1]
    del questions["prompt"]
    questions["english_answers"] = 0.5
    tiny_recipe.write_text(yaml.safe_dump(content), encoding="utf-8")
    result = run("run", tiny_recipe, "--output", tmp_path / "mix", "--quiet")
    assert result.returncode == 0, result.stderr
    rows = [
        row for path in (tmp_path / "mix").glob("*/*/*.parquet") for row in pq.read_table(path).to_pylist()
    ]
    english = [
        row
        for row in rows
        if row["task"] == "vqa" and row["language"] == "eng_Latn" and not row["id"].endswith("/eng_Latn")
    ]
    assert english
    for row in english:
        assert row["question_language"] == row["id"].rsplit("/", 1)[1]
        assert row["target"] == row["source_target"]
        assert "English" in row["prompt"]
    plan = plan_mix(load_recipe(tiny_recipe))
    assert plan.rows == Counter(row["language"] for row in rows)
    asked = Counter(row["question_language"] for row in english)
    assert plan.questions == asked
    told = json.loads((tmp_path / "mix" / "manifest.json").read_text(encoding="utf-8"))
    assert {one["language"]: one["read"] for one in told["questions"]} == asked
    accepted = Counter(row["question_language"] for row in english if row["verdict"] == "accept")
    assert {one["language"]: one["accepted"] for one in told["questions"] if one["accepted"]} == accepted
    assert f"{asked.total()} rows with English answers have questions in other languages" in result.stdout


CLOUD = ("--runner", "DataflowRunner", "--project", "p", "--region", "r", "--temp_location", "gs://b/tmp")


def test_an_output_that_workers_elsewhere_cannot_write_is_refused(tiny_recipe: Path, tmp_path: Path) -> None:
    done = run("run", tiny_recipe, "--output", tmp_path / "mix", *CLOUD)
    assert done.returncode == 2
    assert "is on this machine, and the workers of DataflowRunner are not" in done.stderr
    assert "--output gs://BUCKET/mix" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "mix").exists()


def test_threads_of_workers_elsewhere_are_not_measured_here(tiny_recipe: Path) -> None:
    done = run("run", tiny_recipe, "--output", "gs://b/mix", "--threads", "auto", *CLOUD)
    assert done.returncode == 2
    assert "--threads auto measures this machine, and the workers are others" in done.stderr
