"""Short answers in a run: one entry per language and answer, `answers.tsv`, and giving it back."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from pipelines.examples import Example, Text
from pipelines.manifest import read_manifest
from pipelines.reading import AssignedExample
from pipelines.recipe import SettingsError, load_recipe
from pipelines.remembered import import_memory
from pipelines.uses import uses_of
from pipelines.verify import problems

Entry = dict[str, str]


def run(recipe: Path, mix: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "run", recipe, "--output", mix, "--quiet", *more],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "120"},
        timeout=300,
        check=False,
    )


def entries_of(mix: Path) -> list[Entry]:
    with (mix / "answers.tsv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def answer_rows(mix: Path) -> Iterator[dict[str, Any]]:
    """Rows of questions in other languages, accepted and rejected."""
    for path in sorted(mix.glob("*/*/*.parquet")):
        for row in pq.read_table(path).to_pylist():
            if row["task"] == "vqa" and row["language"] != "eng_Latn":
                yield row


def digests(mix: Path) -> dict[str, str]:
    return {
        str(path.relative_to(mix)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted([*mix.glob("*/*/*.parquet"), mix / "answers.tsv", mix / "manifest.json"])
    }


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[[Path], Path]) -> Path:
    """The tiny recipe with round trip, and two questions that are answered with yes and with a number."""
    path = make_recipe(tmp_path_factory.mktemp("answers") / "tiny")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["round_trip"] = "short"
    content["languages"]["english_share"] = 0
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    questions = path.parent / "questions.jsonl"
    image = '"image": "dog.png"'
    with questions.open("a", encoding="utf-8") as file:
        for number in range(5):
            file.write(f'{{"id": "yes-{number}", {image}, "question": "Is it {number}?", "answer": "Yes"}}\n')
            file.write(
                f'{{"id": "two-{number}", {image}, "question": "How many, {number}?", "answer": "2"}}\n'
            )
    return path


@pytest.fixture(scope="module")
def mix(recipe: Path) -> Path:
    result = run(recipe, recipe.parent.parent / "mix")
    assert result.returncode == 0, result.stderr
    assert "Short answers to review: " in result.stdout.splitlines()[-2]
    assert "answers.tsv" in result.stdout.splitlines()[-2]
    return recipe.parent.parent / "mix"


def test_an_answer_has_one_entry_a_language_with_its_uses(mix: Path) -> None:
    entries, rows = entries_of(mix), list(answer_rows(mix))
    assert rows
    uses = Counter((row["language"], row["source_target"]) for row in rows)
    assert {(entry["nllb_code"], entry["answer"]): int(entry["uses"]) for entry in entries} == uses
    order = [(entry["nllb_code"], -int(entry["uses"]), entry["answer"]) for entry in entries]
    assert order == sorted(order)


def test_rows_hold_the_translation_and_verdict_of_their_entry(mix: Path) -> None:
    entries = {(entry["nllb_code"], entry["answer"]): entry for entry in entries_of(mix)}
    for row in answer_rows(mix):
        entry = entries[row["language"], row["source_target"]]
        assert row["target"] == entry["translation"]
        assert (row["back_translation"] or "") == entry["back_translation"]
        assert row["verdict"] == ("accept" if entry["accepted"] == "1" else "reject")


def test_checked_answers_come_from_no_model_and_no_filter_judges_them(mix: Path) -> None:
    words = {"deu_Latn": "ja", "fra_Latn": "oui", "jpn_Jpan": "はい", "rus_Cyrl": "да", "hin_Deva": "हाँ"}
    found = [row for row in answer_rows(mix) if row["source_target"] in ("Yes", "2")]
    assert {row["source_target"] for row in found} == {"Yes", "2"}
    for row in found:
        assert row["target"] == ("2" if row["source_target"] == "2" else words[row["language"]])
        assert row["verdict"] == "accept"
        assert row["scores"]["words"] is None
        assert row["provenance"]["model"] is None


def test_the_manifest_counts_the_entries_and_verify_reads_them(mix: Path, tmp_path: Path) -> None:
    table = read_manifest(str(mix)).answers
    entries = entries_of(mix)
    assert table is not None
    assert (table.entries, table.failed) == (
        len(entries),
        sum(entry["accepted"] == "0" for entry in entries),
    )
    assert list(problems(str(mix))) == []
    copy = tmp_path / "mix"
    shutil.copytree(mix, copy)
    with (copy / "answers.tsv").open("a", encoding="utf-8") as file:
        file.write("deu_Latn\tx\ty\t\tgiven\t1\t\t1\n")
    assert [problem.split(";")[0] for problem in problems(str(copy))] == ["answers.tsv: has changed"]
    (copy / "answers.tsv").unlink()
    assert list(problems(str(copy))) == ["answers.tsv: missing"]


def test_the_number_of_workers_changes_nothing(recipe: Path, mix: Path, tmp_path: Path) -> None:
    assert run(recipe, tmp_path / "mix", "--direct_num_workers=3").returncode == 0
    assert digests(tmp_path / "mix") == digests(mix)


def test_the_table_that_the_run_replaces_is_not_read(recipe: Path, mix: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(mix, tmp_path / "mix")
    before = (copy / "answers.tsv").read_bytes()
    result = run(recipe, copy, "--overwrite", "--set", f"answers.file={copy}/../mix/answers.tsv")
    assert result.returncode == 2
    assert "copy it elsewhere, and name the copy" in result.stderr
    assert (copy / "answers.tsv").read_bytes() == before


def test_answers_that_people_translated_come_before_the_models(
    recipe: Path, mix: Path, tmp_path: Path
) -> None:
    by_model = [entry for entry in entries_of(mix) if entry["how"] in ("alone", "context")]
    changed = next(entry for entry in by_model if entry["accepted"] == "1")
    by_table = next(entry for entry in entries_of(mix) if entry["how"] == "checked")
    human = tmp_path / "human.tsv"
    lines = [f"{entry['answer']}\tneues Wort\t{entry['nllb_code']}\n" for entry in (changed, by_table)]
    human.write_text("source\ttarget\tnllb_code\n" + "".join(lines), encoding="utf-8")
    import_memory(str(tmp_path / "mix"), human)
    result = run(recipe, tmp_path / "mix")
    assert result.returncode == 0, result.stderr
    given = [entry for entry in entries_of(tmp_path / "mix") if entry["how"] == "given"]
    assert sorted((one["nllb_code"], one["answer"]) for one in given) == sorted(
        (one["nllb_code"], one["answer"]) for one in (changed, by_table)
    )
    assert {one["translation"] for one in given} == {"neues Wort"}
    rows = [row for row in answer_rows(tmp_path / "mix") if row["target"] == "neues Wort"]
    assert rows
    assert "accept" in {row["verdict"] for row in rows}


def test_a_reviewed_table_is_taken_as_it_is(recipe: Path, mix: Path, tmp_path: Path) -> None:
    entries = [entry for entry in entries_of(mix) if entry["answer"] not in ("Yes", "2")]
    changed, refused = entries[0], entries[1]
    table = tmp_path / "reviewed.tsv"
    table.write_text(
        "nllb_code\tanswer\ttranslation\taccepted\n"
        f"{changed['nllb_code']}\t{changed['answer']}\tneues Wort\t1\n"
        f"{refused['nllb_code']}\t{refused['answer']}\t\t0\n",
        encoding="utf-8",
    )
    result = run(recipe, tmp_path / "mix", "--set", f"answers.file={table}")
    assert result.returncode == 0, result.stderr
    after = {(entry["nllb_code"], entry["answer"]): entry for entry in entries_of(tmp_path / "mix")}
    given = {key for key, entry in after.items() if entry["how"] == "given"}
    assert given == {(one["nllb_code"], one["answer"]) for one in (changed, refused)}
    for row in answer_rows(tmp_path / "mix"):
        key = row["language"], row["source_target"]
        if key == (changed["nllb_code"], changed["answer"]):
            assert (row["target"], row["verdict"]) == ("neues Wort", "accept")
        elif key in given:
            assert row["reason"] == "answers: `accepted` is 0 in the answer table that the recipe names"
    kept = [entry for entry in entries_of(mix) if (entry["nllb_code"], entry["answer"]) not in given]
    assert [entry for key, entry in after.items() if key not in given] == kept
    signatures = [read_manifest(str(one)).signature for one in (mix, tmp_path / "mix")]
    assert signatures[0].answers == ""
    assert signatures[1].answers == hashlib.sha256(table.read_bytes()).hexdigest()[:16]


def test_a_wrong_table_stops_the_run_with_file_and_line(tiny_recipe: Path) -> None:
    table = tiny_recipe.parent / "reviewed.tsv"
    table.write_text("nllb_code\tanswer\ttranslation\nxx\tdog\tHund\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"answers\.file.*reviewed\.tsv:2: 'xx' is no NLLB code"):
        load_recipe(tiny_recipe, ["answers.file=reviewed.tsv"])
    with pytest.raises(SettingsError, match=r"answers\.file.*cannot be read"):
        load_recipe(tiny_recipe, ["answers.file=none.tsv"])
    with pytest.raises(SettingsError, match="did you mean `context`"):
        load_recipe(tiny_recipe, ["answers.contexts=true"])


def example(task: str, answer: str, question: str | None = "What is it?") -> AssignedExample:
    prompt = Text(question) if question else None
    made = Example("s", "1", task, None, None, prompt, Text(answer))
    return AssignedExample(made, "deu_Latn")


@pytest.mark.parametrize(
    ("assigned", "answers", "texts"),
    [
        (example("vqa", "the red dog"), ["the red dog"], ["What is it?"]),
        (example("vqa", "a dog on the red table"), [], ["What is it?", "a dog on the red table"]),
        (example("caption", "a dog", None), [], ["a dog"]),
        (example("instruct", "a dog"), [], ["What is it?", "a dog"]),
    ],
)
def test_only_short_answers_to_questions_take_the_table(
    assigned: AssignedExample, answers: list[str], texts: list[str]
) -> None:
    supported = frozenset({"deu_Latn"})
    uses = list(uses_of(assigned, supported))
    assert [use.text for use in uses if use.is_answer] == answers
    assert [use.text for use in uses if not use.is_answer] == texts
    assert list(uses_of(assigned, frozenset())) == []
