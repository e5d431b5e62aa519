"""A finished mix stands on the hub as it stands here, or a push that broke off goes on (on a fake hub)."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipelines import push as pushing
from pipelines.cli import main
from pipelines.manifest import read_manifest
from pipelines.push import PushError, mix_files, push
from pipelines.recipe import load_recipe
from pipelines.refilter import refilter
from pipelines.run import run_mix
from tests.pipelines.fake_hub import OWNER, TOKEN, FakeHub, serving

huggingface_hub = pytest.importorskip("huggingface_hub", reason="an extra")
constants = pytest.importorskip("huggingface_hub.constants", reason="an extra")

NAME = f"{OWNER}/tiny"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, make_recipe: Callable[[Path], Path]) -> Path:
    folder = tmp_path_factory.mktemp("mix")
    recipe = load_recipe(make_recipe(folder / "recipe"))
    run_mix(recipe, str(folder / "mix"), [], Console(quiet=True), quiet=True)
    return folder / "mix"


@pytest.fixture
def mix(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "mix"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    """Where `huggingface_hub` looks; without Xet, whose server is not ours to imitate."""
    with serving() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("time.sleep", lambda seconds: None)
        yield hub


def content(directory: Path, *, memory: bool = False) -> dict[str, bytes]:
    files = {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
    return {name: data for name, data in files.items() if memory or not name.startswith("memory/")}


def test_the_repository_holds_the_mix_byte_for_byte_and_nothing_else(hub: FakeHub, mix: Path) -> None:
    expected = content(mix)
    (mix / ".work").mkdir()
    (mix / ".work" / "workers.log").write_text("mine")
    (mix / "notes.txt").write_text("mine")
    assert push(str(mix), NAME) == f"{hub.url}/datasets/{NAME}"
    assert hub.files(NAME) == expected
    assert hub.repositories[NAME].private
    assert hub.repositories[NAME].messages == [f"tiny: {read_manifest(str(mix)).accepted:,} rows"]


def test_what_was_pushed_loads(
    hub: FakeHub, mix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason="an extra of the tests")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    push(str(mix), NAME)
    for name, data in hub.files(NAME).items():
        path = tmp_path / "clone" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    loaded = datasets.load_dataset(str(tmp_path / "clone"), cache_dir=str(tmp_path / "cache"))
    assert sum(map(len, loaded.values())) == read_manifest(str(mix)).accepted


def test_the_memory_goes_only_if_it_is_asked_for(hub: FakeHub, mix: Path) -> None:
    (mix / "memory" / "000001-000000-0.parquet.damaged").write_text("not this")
    push(str(mix), NAME)
    assert not [name for name in hub.files(NAME) if name.startswith("memory/")]
    push(str(mix), NAME, with_memory=True)
    sent = {name for name in hub.files(NAME) if name.startswith("memory/")}
    assert sent == {f"memory/{path.name}" for path in (mix / "memory").glob("*.parquet")}
    assert sent
    push(str(mix), NAME)
    assert sent <= hub.files(NAME).keys()


def test_a_public_repository_a_branch_and_a_message(hub: FakeHub, mix: Path) -> None:
    url = push(str(mix), "tiny", private=False, revision="v2", message="second try")
    assert url == f"{hub.url}/datasets/{NAME}/tree/v2"
    assert not hub.repositories[NAME].private
    assert hub.repositories[NAME].messages == ["second try"]
    assert hub.files(NAME) == {}
    assert hub.files(NAME, "v2") == content(mix)


def test_a_second_push_of_the_same_mix_sends_and_commits_nothing(hub: FakeHub, mix: Path) -> None:
    push(str(mix), NAME)
    uploads, commits = len(hub.uploads), len(hub.repositories[NAME].messages)
    push(str(mix), NAME)
    assert (len(hub.uploads), len(hub.repositories[NAME].messages)) == (uploads, commits)


def test_another_mix_replaces_the_one_that_was_there_in_one_commit(hub: FakeHub, mix: Path) -> None:
    push(str(mix), NAME)
    before = content(mix)
    refilter(str(mix), ["filters.length_ratio.max=1.05"], Console(quiet=True), quiet=True)
    after = content(mix)
    assert before.keys() != after.keys()
    hub.uploads.clear()
    push(str(mix), NAME)
    assert hub.files(NAME) == after
    assert len(hub.repositories[NAME].messages) == 2
    changed = [name for name in after if name.endswith(".parquet") and after[name] != before.get(name)]
    assert len(hub.uploads) == len(changed)


def test_many_files_take_several_commits_with_the_manifest_in_the_last(
    hub: FakeHub, mix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "COMMIT_FILES", 4)
    push(str(mix), NAME)
    assert hub.files(NAME) == content(mix)
    parts = hub.repositories[NAME].messages
    assert len(parts) == -(-len(content(mix)) // 4)
    assert parts[-1].endswith(f"(part {len(parts)} of {len(parts)})")


def test_a_manifest_that_is_there_goes_before_half_of_a_new_mix_comes(
    hub: FakeHub, mix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(str(mix), NAME)
    refilter(str(mix), ["filters.length_ratio.max=1.05"], Console(quiet=True), quiet=True)
    monkeypatch.setattr(pushing, "COMMIT_FILES", 2)
    commits = iter(range(100))
    hub.fail = lambda method, path: 400 if "/commit/" in path and next(commits) == 1 else None
    with pytest.raises(PushError, match="the hub says 400"):
        push(str(mix), NAME)
    assert "manifest.json" not in hub.files(NAME)
    push(str(mix), NAME)
    assert hub.files(NAME) == content(mix)


@pytest.mark.parametrize("status", [400, 0])
def test_an_upload_that_broke_off_goes_on(
    hub: FakeHub, mix: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "GROUP_FILES", 2)
    hub.fail = lambda method, path: status if method == "PUT" and len(hub.uploads) >= 3 else None
    with pytest.raises(PushError, match="goes on from here") as caught:
        push(str(mix), NAME)
    assert "\n" not in str(caught.value)
    assert hub.files(NAME) == {}
    sent = list(hub.uploads)
    assert sent
    hub.fail = lambda method, path: None
    push(str(mix), NAME)
    assert hub.files(NAME) == content(mix)
    assert len(hub.uploads) == len(set(hub.uploads))


@pytest.mark.parametrize(
    ("status", "where", "message"),
    [
        (401, "/api/repos/create", "the token is not valid"),
        (403, "/commit/", "the token may not write there"),
        (404, "/preupload/", "no such repository, branch or owner"),
        (409, "/commit/", "something else is being changed there"),
        (429, "/commit/", "fewer requests"),
        (500, "/tree/", "goes on from here"),
    ],
)
def test_what_the_hub_refuses_is_one_line_with_the_remedy(
    hub: FakeHub, mix: Path, status: int, where: str, message: str
) -> None:
    hub.fail = lambda method, path: status if where in path else None
    with pytest.raises(PushError, match=message) as caught:
        push(str(mix), NAME)
    assert str(status) in str(caught.value)
    assert str(caught.value).startswith(f"{NAME}: ")
    assert "\n" not in str(caught.value)


def test_another_owner_is_refused(hub: FakeHub, mix: Path) -> None:
    with pytest.raises(PushError, match="403"):
        push(str(mix), "somebody/tiny")
    assert hub.repositories == {}


def test_a_commit_of_somebody_else_meanwhile_is_not_overwritten(hub: FakeHub, mix: Path) -> None:
    push(str(mix), NAME)
    refilter(str(mix), ["filters.length_ratio.max=1.05"], Console(quiet=True), quiet=True)

    def meddle(method: str, path: str) -> None:
        if "/preupload/" in path:
            hub.repositories[NAME].branches["main"].commits.append("f" * 40)

    hub.fail = meddle
    with pytest.raises(PushError, match="somebody has pushed meanwhile"):
        push(str(mix), NAME)


def test_a_commit_of_somebody_else_while_the_files_are_listed_is_not_overwritten(
    hub: FakeHub, mix: Path
) -> None:
    push(str(mix), NAME)
    refilter(str(mix), ["filters.length_ratio.max=1.05"], Console(quiet=True), quiet=True)
    main = hub.repositories[NAME].branches["main"]

    def meddle(method: str, path: str) -> None:
        if "/tree/" in path and len(main.commits) == 2:
            main.commits.append("f" * 40)

    hub.fail = meddle
    with pytest.raises(PushError, match="somebody has pushed meanwhile"):
        push(str(mix), NAME)


def test_that_pictures_stay_behind_is_said_before_anything_is_sent(
    hub: FakeHub, tmp_path: Path, make_recipe: Callable[[Path], Path]
) -> None:
    recipe = load_recipe(make_recipe(tmp_path / "recipe"), ["images=reference"])
    run_mix(recipe, str(tmp_path / "mix"), [], Console(quiet=True), quiet=True)
    out = io.StringIO()
    push(str(tmp_path / "mix"), NAME, console=Console(file=out, width=80))
    assert "The pictures are not in this mix" in out.getvalue()


def test_files_that_the_hub_leaves_out_are_told_of(hub: FakeHub, mix: Path) -> None:
    left_out = next(name for name in content(mix) if name.startswith("data/"))
    hub.ignored = frozenset({left_out})
    with pytest.raises(PushError, match="1 file on the hub not as here"):
        push(str(mix), NAME)


def test_data_of_something_else_stays(hub: FakeHub, mix: Path) -> None:
    huggingface_hub.HfApi(endpoint=hub.url).create_repo(NAME, repo_type="dataset", private=True)
    main = hub.repositories[NAME].branches["main"]
    main.files["data/train-00000-of-00001.parquet"] = b"theirs"
    with pytest.raises(PushError, match="holds data of something else"):
        push(str(mix), NAME)
    assert main.files["data/train-00000-of-00001.parquet"] == b"theirs"


def test_without_a_token_nothing_is_asked_of_the_hub(
    hub: FakeHub, mix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    # Said before hours go into the check of a large mix: this one would not pass it.
    next((mix / "data").rglob("*.parquet")).unlink()
    with pytest.raises(PushError, match="hf auth login"):
        push(str(mix), NAME)
    assert hub.requests == []


def test_an_unfinished_mix_is_refused(hub: FakeHub, mix: Path) -> None:
    (mix / "manifest.json").unlink()
    with pytest.raises(ValueError, match="no finished mix"):
        push(str(mix), NAME)
    assert hub.requests == []


def test_a_damaged_mix_is_refused(hub: FakeHub, mix: Path) -> None:
    shard = next((mix / "data").rglob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-1] + b"x")
    with pytest.raises(PushError, match=rf"{shard.name}.*translate-mix verify"):
        push(str(mix), NAME)
    assert hub.requests == []


def test_a_report_of_another_state_of_the_mix_is_refused(hub: FakeHub, mix: Path) -> None:
    (mix / "report.html").write_text("<html>of some other mix</html>", encoding="utf-8")
    with pytest.raises(PushError, match=r"report\.html is of the mix before"):
        push(str(mix), NAME)
    assert hub.requests == []


def test_a_mix_that_changes_while_it_is_sent_is_not_committed(hub: FakeHub, mix: Path) -> None:
    shard = next((mix / "data").rglob("*.parquet"))

    def change(method: str, path: str) -> None:
        if path == "/api/repos/create":
            shard.write_bytes(shard.read_bytes() + b"x")

    hub.fail = change
    with pytest.raises(PushError, match="has changed since it was verified"):
        push(str(mix), NAME)
    assert hub.files(NAME) == {}


def test_a_name_that_the_hub_does_not_allow_is_a_wrong_command_line(hub: FakeHub, mix: Path) -> None:
    with pytest.raises(ValueError, match="a/b/c"):
        push(str(mix), "a/b/c")
    with pytest.raises(ValueError, match="copy the mix here"):
        push("gs://bucket/mix", NAME)


def test_the_manifest_is_sent_last(mix: Path) -> None:
    names = [file.name for file in mix_files(str(mix), read_manifest(str(mix)), with_memory=True)]
    assert names[-1] == "manifest.json"
    assert len(names) == len(set(names))


def test_a_table_of_bounds_is_sent_where_the_mix_keeps_one(mix: Path) -> None:
    (mix / "thresholds.tsv").touch()
    for kept, sent in (("", False), ("ab" * 32, True)):
        manifest = replace(read_manifest(str(mix)), thresholds=kept)
        files = mix_files(str(mix), manifest, with_memory=False)
        assert ("thresholds.tsv" in {file.name for file in files}) == sent


def test_the_command_says_where_the_data_set_is(hub: FakeHub, mix: Path) -> None:
    done = command(hub, "push", str(mix), NAME, "--quiet")
    assert done.stdout.strip() == f"{hub.url}/datasets/{NAME}"
    assert done.returncode == 0
    assert hub.files(NAME) == content(mix)


@pytest.mark.parametrize(("name", "code"), [(NAME, 1), ("a/b/c", 2)])
def test_the_command_fails_in_one_line(
    hub: FakeHub, mix: Path, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    hub.fail = lambda method, path: 403
    with pytest.raises(SystemExit) as caught:
        main(["push", str(mix), name, "--quiet"])
    assert caught.value.code == code
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 1
    assert not told.out


def test_large_files_go_by_xet_where_the_library_has_it(hub: FakeHub, mix: Path, tmp_path: Path) -> None:
    pytest.importorskip("hf_xet", reason="an extra")
    hub.known = {hashlib.sha256(data).hexdigest(): data for data in content(mix).values()}
    environment = {"HF_HUB_DISABLE_XET": "0", "HF_HOME": str(tmp_path / "home")}
    done = command(hub, "push", str(mix), NAME, "--quiet", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert hub.files(NAME) == content(mix)
    assert hub.shards
    assert hub.uploads == []
    (mix / "README.md").write_text("---\npretty_name: other\n---\n", encoding="utf-8")
    hub.shards.clear()
    assert command(hub, "push", str(mix), NAME, "--quiet", **environment).returncode == 0
    assert hub.files(NAME) == content(mix)
    assert hub.shards == []


def test_xet_that_fails_is_one_line(hub: FakeHub, mix: Path, tmp_path: Path) -> None:
    pytest.importorskip("hf_xet", reason="an extra")
    hub.fail = lambda method, path: 403 if path.startswith("/v1/xorbs/") else None
    environment = {"HF_HUB_DISABLE_XET": "0", "HF_HOME": str(tmp_path / "home")}
    done = command(hub, "push", str(mix), NAME, "--quiet", **environment)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert hub.files(NAME) == {}


def command(hub: FakeHub, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment: dict[str, Any] = os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_TOKEN": TOKEN,
        **more,
    }
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
