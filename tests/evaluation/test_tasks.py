"""A task is checked whole before anything is read; whatever is wrong is said with file, line and key."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from evaluation.metrics import METRICS
from evaluation.tasks import Fields, Pictures, Search, Task, read_task, shipped_tasks
from tests.evaluation.official import task_yaml
from training.asking import Generation
from translation.settings_file import SettingsError

VALUES: dict[str, Any] = {
    "name": "mine",
    "format": "records",
    "files": "questions.jsonl",
    "languages": ["de"],
    "fields": {"text": "question"},
    "template": "vqa-question-short",
    "metrics": ["any_match"],
}


def error(folder: Path, **changes: Any) -> str:
    values = {key: value for key, value in {**VALUES, **changes}.items() if value is not ...}
    with pytest.raises(SettingsError) as raised:
        read_task(task_yaml(folder / "mine.yaml", **values))
    return str(raised.value)


@pytest.mark.parametrize("name", sorted(shipped_tasks()))
def test_tasks_of_the_package_are_right_and_need_a_root(name: str) -> None:
    task = read_task(name, ["root=/datasets"])
    assert task.root == Path("/datasets")
    assert len(task.digest) == 64
    with pytest.raises(SettingsError, match="say where the data is"):
        read_task(name)


def test_every_benchmark_of_the_paper_is_there() -> None:
    wanted = {
        "xgqa",
        "xvnli",
        "marvl",
        "nlvr2",
        "xflickrco",
        "xm3600",
        "maxm",
        "vqav2",
        "pope",
        "mix",
        "jsonl",
    }
    assert wanted | {"babel-imagenet", "babel-imagenet-choice"} == set(shipped_tasks())


@pytest.mark.parametrize("name", ["xgqa", "xvnli", "marvl", "nlvr2", "maxm", "vqav2", "pope"])
def test_answers_are_searched_for_as_in_the_paper(name: str) -> None:
    settings = read_task(name, ["root=/x"]).task.generation.settings()
    assert settings == Generation(beams=5, max_new_tokens=10, length_penalty=-1)


@pytest.mark.parametrize("name", ["xflickrco", "xm3600", "mix"])
def test_captions_are_searched_for_as_in_the_paper(name: str) -> None:
    settings = read_task(name, ["root=/x"]).task.generation.settings()
    assert settings == Generation(beams=5, max_new_tokens=50, length_penalty=1)


def test_generation_settings_are_those_of_models() -> None:
    assert set(Search.model_fields) == {one.name for one in fields(Generation)}
    assert Search().settings() == Generation()


def test_paths_start_at_the_task_file(tmp_path: Path) -> None:
    task = read_task(task_yaml(tmp_path / "mine.yaml", **VALUES))
    (tmp_path / "questions.jsonl").write_text("{}")
    assert task.paths(("files",), "questions.jsonl") == [tmp_path / "questions.jsonl"]


def test_brackets_in_the_name_of_the_root_are_no_pattern(tmp_path: Path) -> None:
    root = tmp_path / "data [v2]*"
    root.mkdir()
    for name in ("a.jsonl", "b.jsonl"):
        (root / name).write_text("{}")
    task = read_task(task_yaml(tmp_path / "mine.yaml", **VALUES), [f"root={str(root)!r}"])
    assert task.paths(("files",), "*.jsonl") == [root / "a.jsonl", root / "b.jsonl"]
    assert task.paths(("files",), f"{root}/*.jsonl") == [root / "a.jsonl", root / "b.jsonl"]


def test_a_root_on_the_command_line_starts_at_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    path = task_yaml(tmp_path / "tasks" / "mine.yaml", **VALUES)
    assert read_task(path, ["root=data"]).root == tmp_path / "data"
    assert read_task(task_yaml(path, **VALUES, root="data")).root == tmp_path / "tasks" / "data"


def test_the_digest_does_not_depend_on_where_files_are(tmp_path: Path) -> None:
    path = task_yaml(tmp_path / "mine.yaml", **VALUES)
    digest = read_task(path).digest
    assert read_task(path, ["root=/elsewhere", "files=other.jsonl"]).digest == digest
    assert read_task(path, ["generation.beams=1"]).digest != digest
    assert read_task(path, ["template=vqa-brief"]).digest != digest


def test_an_unknown_key_is_named_with_its_line_and_what_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: mine\nformat: records\nfiles: a\nmetrics: [accuracy]\ntemplte: vqa-brief\n")
    with pytest.raises(SettingsError, match=r"mine\.yaml:5: templte: unknown key; did you mean `template`\?"):
        read_task(path)


def test_a_folder_of_the_name_hides_no_task_of_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mix").mkdir()
    monkeypatch.chdir(tmp_path)
    assert read_task("mix", ["root=."]).task.format == "mix"


def test_a_task_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(SettingsError, match=r"xgpa: is no file and no task of the package; those are .*xgqa"):
        read_task("xgpa")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "xqga"}, "format is \"xqga\": must be one of"),
        ({"metrics": []}, "metrics is []: must have at least 1 item"),
        ({"metrics": ["cidr"]}, "unknown metric 'cidr'; did you mean cider"),
        ({"languages": ["de", "quz"]}, "languages.1 is \"quz\": unknown language 'quz'"),
        ({"languages": ["de", "deu"]}, "languages.1 is \"deu\": is deu_Latn, as 'de' is"),
        ({"languages": ["de", "de"]}, "de stands there twice"),
        ({"languages": []}, "must have at least 1 item"),
        ({"languages": ...,"files": "a-{code}.json"}, "languages: needed, for `files` has `{code}`"),
        ({"codes": {"jp": "jpn_Japn"}}, "codes.jp is \"jpn_Japn\": unknown language"),
        ({"left_out": {"de": "why not"}}, "left_out.de is \"why not\": stands among `languages` too"),
        ({"expected": {"qu1": 3}}, "expected.qu1 is 3: unknown language"),
        ({"expected": {"de": 0}}, "expected.de is 0: must be greater than or equal to 1"),
        ({"template": "vqa-shrt"}, "no prompt template 'vqa-shrt'; did you mean vqa-short"),
        ({"template": ...}, "template: give either `template` or `prompt`"),
        ({"prompt": "What?"}, "give either `template` or `prompt`"),
        ({"template": ..., "prompt": "{question} in {lang}"}, "unknown placeholder {lang}; valid: answer"),
        (
            {"template": "vqa-question-short-afr_Latn"},
            "is in afr_Latn; only that language can be asked with it",
        ),
        ({"generation": {"beams": 0}}, "generation.beams is 0: must be greater than or equal to 1"),
        ({"generation": {"beam": 1}}, "generation.beam: unknown key; did you mean `beams`?"),
        ({"answer_by": "likelihood"}, "answer_by is \"likelihood\": needs choices"),
        ({"choices": ["yes", "no"]}, "yes, no are the same in all languages; set `answers: english`"),
        (
            {"choices": ["yes", "no"], "answers": "english", "labels": {"a": "ja"}},
            "labels.a is \"ja\": is 'ja', none of the choices",
        ),
        ({"per_class": 1}, "per_class is 1: is of no use for 'records'; only for babel_imagenet"),
        ({"format": "vqav2", "fields": ...}, "annotations: files of the format 'vqav2' need it"),
        ({"pictures": {"path": ["images"]}}, "pictures.names: needed"),
        ({"pictures": {"path": []}}, "must have at least 1 item"),
        ({"format": "mix", "fields": ...}, "template is \"vqa-question-short\": rows of a mix have"),
        (
            {"format": "babel_imagenet", "fields": ..., "classes": "index.json", "template": "classify-name"},
            "pictures: needed: the folder of ImageNet's validation pictures",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    found = error(tmp_path, **changes)
    assert message in found
    assert "mine.yaml:1" in found


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    task = read_task(task_yaml(tmp_path / "mine.yaml", **VALUES))
    with pytest.raises(SettingsError, match=r"files is .* there is no .*questions\.jsonl; say where"):
        task.paths(("files",), "questions.jsonl")
    task = read_task(task_yaml(tmp_path / "mine.yaml", **VALUES), [f"root={tmp_path}/nowhere"])
    with pytest.raises(SettingsError, match=r"there is no .*nowhere; say where"):
        task.paths(("files",), ".")


def test_numbers_of_languages_that_are_not_asked_may_stay(tmp_path: Path) -> None:
    path = task_yaml(tmp_path / "mine.yaml", **VALUES, expected={"de": 3, "fr": 4})
    assert read_task(path).task.expected == {"de": 3, "fr": 4}


def test_the_docs_name_every_task_key_and_metric() -> None:
    text = (Path(__file__).parents[2] / "docs/evaluation.md").read_text(encoding="utf-8")
    inner = {"fields": Fields, "pictures": Pictures, "generation": Search}
    keys = [key for key in Task.model_fields if key not in inner]
    keys += [f"{key}.{name}" for key, section in inner.items() for name in section.model_fields]
    for name in (*keys, *shipped_tasks()):
        assert f"| `{name}` |" in text, name
    for metric in METRICS:
        assert f"`{metric.removesuffix('_published')}`" in text, metric
