"""What holds for every judge: order, gaps, limits, names, and errors that say what to do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from translation.filters.pairs import TextPair
from translation.quality import QualityError, QualityModel, load_quality

if TYPE_CHECKING:
    from .conftest import Made

ROOT = Path(__file__).parents[3]
COLUMNS = ("similarity", "metricx", "comet_kiwi")

PAIRS = [
    TextPair(source, target, "deu_Latn")
    for source, target in [
        ("a red apple on a table", "ein roter Apfel auf dem Tisch"),
        ("two dogs run on the beach!", "zwei Hunde laufen am Strand"),
        ("a man rides a bicycle", "zwei Hunde"),
        ("apple", "Apfel"),
        ("the black cat sleeps under the old tree", "un chat noir"),
    ]
]


@pytest.fixture(scope="module")
def judges(specs: dict[str, str]) -> dict[str, QualityModel]:
    return {column: load_quality(spec, "cpu") for column, spec in specs.items()}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_judge_names_its_column_and_its_files(judges: dict[str, QualityModel], column: str) -> None:
    judge = judges[column]
    assert judge.column == column
    assert judge.higher_is_better == (column != "metricx")
    assert len(judge.digest) == 64
    assert judge.name.endswith(judge.digest[:8])


@pytest.mark.parametrize("column", COLUMNS)
def test_scores_differ_by_pair_and_come_in_order(judges: dict[str, QualityModel], column: str) -> None:
    judge = judges[column]
    together = judge.score(PAIRS)
    alone = [judge.score([pair])[0] for pair in PAIRS]
    assert together == pytest.approx(alone, abs=1e-4)
    assert judge.score(PAIRS[::-1]) == pytest.approx(together[::-1], abs=1e-4)
    assert len({round(score, 3) for score in together if score is not None}) > 2


@pytest.mark.parametrize("column", COLUMNS)
def test_the_same_call_gives_the_same_numbers(
    judges: dict[str, QualityModel], specs: dict[str, str], column: str
) -> None:
    assert judges[column].score(PAIRS) == load_quality(specs[column], "cpu").score(PAIRS)


@pytest.mark.parametrize("column", COLUMNS)
def test_small_batches_and_windows_change_nothing(
    judges: dict[str, QualityModel], column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = judges[column].score(PAIRS)
    monkeypatch.setattr("translation.quality.batches.WINDOW", 2)
    for module in ("batches", "similarity"):
        monkeypatch.setattr(f"translation.quality.{module}.token_budget", lambda device: 40)
    assert judges[column].score(PAIRS) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("column", COLUMNS)
def test_empty_and_overlong_texts_have_no_score_and_leave_the_others_alone(
    judges: dict[str, QualityModel], column: str
) -> None:
    long = "a red apple on a table " * 200
    pairs = [
        TextPair("", "Apfel", "deu_Latn"),
        PAIRS[0],
        TextPair("apple", " \n", "deu_Latn"),
        TextPair(long, "Apfel", "deu_Latn"),
        TextPair("apple", long, "deu_Latn"),
        TextPair("apple", "x" * 3_000_000, "deu_Latn"),
    ]
    scores = judges[column].score(pairs)
    assert [score is None for score in scores] == [True, False, True, True, True, True]
    assert scores[1] == pytest.approx(judges[column].score(PAIRS[:1])[0], abs=1e-4)
    assert judges[column].score([]) == []


@pytest.mark.parametrize("column", COLUMNS)
def test_any_text_is_scored_or_not_but_never_fails(judges: dict[str, QualityModel], column: str) -> None:
    marks = ["<pad>", "</s>", "<mask>", "[SEP]", "[PAD]", "<extra_id_99>", "\ud800", "\0", "​"]
    anything = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(marks)

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.tuples(anything, anything), max_size=4))
    def check(texts: list[tuple[str, str]]) -> None:
        scores = judges[column].score([TextPair(*both, "deu_Latn") for both in texts])
        assert len(scores) == len(texts)
        assert all(score is None or abs(score) < 1e6 for score in scores)  # and not NaN

    check()


@pytest.mark.parametrize("column", COLUMNS)
def test_other_weights_have_another_name(
    judges: dict[str, QualityModel], specs: dict[str, str], column: str, tmp_path: Path
) -> None:
    import shutil

    kind, _, directory = specs[column].partition(":")
    copy = tmp_path / Path(directory).name
    shutil.copytree(directory, copy)
    assert load_quality(f"{kind}:{copy}", "cpu").name == judges[column].name
    (copy / "notes.txt").write_text("another revision", encoding="utf-8")
    assert load_quality(f"{kind}:{copy}", "cpu").name != judges[column].name


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "unknown judge ''; give 'labse', 'metricx' or 'comet_kiwi:DIRECTORY'"),
        ("bleurt", "unknown judge 'bleurt'"),
        ("labse:./nowhere", "./nowhere: no such directory, and not a hub name"),
        ("metricx:nowhere", "nowhere: no such directory, and not a hub name"),
        ("comet_kiwi", "name a converted one"),
        ("comet_kiwi:Unbabel/wmt22-cometkiwi-da", "how to convert"),
        ("metricx:google/metricx-23-qe-large-v2p0", "MetricX-23 reads its input in another order"),
    ],
)
def test_a_spec_that_names_nothing_says_what_would(spec: str, message: str) -> None:
    with pytest.raises(QualityError, match=message.replace("(", r"\(")):
        load_quality(spec, "cpu")


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("device", ["cuda:99", "gpu", "xla"])
def test_a_device_that_is_not_there_is_named(specs: dict[str, str], column: str, device: str) -> None:
    with pytest.raises(QualityError, match=f"device '{device}' cannot be used"):
        load_quality(specs[column], device)


@pytest.mark.parametrize("kind", ["labse", "metricx"])
def test_without_a_connection_the_error_says_so(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(tmp_path, monkeypatch)
    with pytest.raises(QualityError, match="the hub cannot be reached, and its cache has no copy"):
        load_quality(kind, "cpu")


def test_a_hub_name_is_read_from_the_cache_at_its_revision(
    metricx: Made, judges: dict[str, QualityModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(tmp_path, monkeypatch)
    tokenizer = {"tokenizer.json", "tokenizer_config.json", "spiece.model"}
    weights = {"config.json", "model.safetensors"}
    cached(tmp_path, "google/metricx-24-hybrid-large-v2p6", "refs/pr/1", metricx.directory, weights)
    with pytest.raises(QualityError, match="google/mt5-large: the hub cannot be reached"):
        load_quality("metricx", "cpu")
    cached(tmp_path, "google/mt5-large", "main", metricx.directory, tokenizer)
    judge = load_quality("metricx", "cpu")
    assert judge.score(PAIRS) == judges["metricx"].score(PAIRS)
    assert judge.name.startswith("metricx-google/metricx-24-hybrid-large-v2p6@refs/pr/1-")


def offline(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))


def cached(cache: Path, repository: str, revision: str, files: Path, names: set[str]) -> None:
    """Lays the named files out as the hub's client caches them."""
    place = cache / f"models--{repository.replace('/', '--')}"
    commit = "0123456789abcdef0123456789abcdef01234567"
    (place / "snapshots" / commit).mkdir(parents=True)
    (place / "refs" / revision).parent.mkdir(parents=True, exist_ok=True)
    (place / "refs" / revision).write_text(commit, encoding="utf-8")
    for name in names:
        if (files / name).is_file():
            (place / "snapshots" / commit / name).symlink_to(files / name)


@pytest.mark.parametrize(
    ("spec", "module"), [("labse", "sentence_transformers"), ("metricx", "transformers"), ("labse", "torch")]
)
def test_without_the_extra_the_error_names_it(spec: str, module: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from translation.quality import load_quality, QualityError\n"
        f"try: load_quality({spec!r})\n"
        "except QualityError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"needs {module}: pip install 'translate-mix[quality]'" in done.stdout


def test_importing_the_package_loads_none_of_the_extra() -> None:
    code = (
        "import sys, translation.quality, translation.quality.similarity\n"
        "import translation.quality.metricx, translation.quality.comet_kiwi\n"
        "assert not {'torch', 'transformers', 'sentence_transformers'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
