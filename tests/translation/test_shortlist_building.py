"""Lists are built from texts, measured, and kept with the model."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import ctranslate2
import pytest

from tests.conftest import Synced
from translation.decoder import Threads
from translation.engine import Engine
from translation.model import DESCRIPTION, SENTENCEPIECE, ModelError, read_description, write_description
from translation.shortlist_building import LEAST_SAMPLE, LEAST_TEXTS, build_shortlists
from translation.shortlists import (
    VOCABULARY_MAP,
    ShortlistReport,
    is_ordered,
    read_lists,
    read_shortlists,
    read_vocabulary,
)
from translation.translations import Decoding, Request

ONE = Threads(intra=1)
DECODING = Decoding(beam_size=1, max_output_tokens=12)
NOUNS = ["cat", "dog", "apple", "bus", "tree", "beach", "table", "train", "bicycle", "photo"]
SAMPLE = [f"a {colour} {noun}" for colour in ("red", "black", "old", "two") for noun in NOUNS]
GERMAN = ["ein roter Apfel auf dem Tisch"] * LEAST_TEXTS
CODES = ["eng_Latn", "deu_Latn", "fra_Latn", "hin_Deva", "jpn_Jpan", "swh_Latn"]
TEXTS = {"deu_Latn": GERMAN, "jpn_Jpan": [], "hin_Deva": ["लाल सेब"], "fra_Latn": ["un chat"]}


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(directory.iterdir())}


def build(directory: Path, **changes: object) -> ShortlistReport:
    options = {"decoding": DECODING, "threads": ONE, "least_agreement": 0.0, "frequent": 20} | changes
    return build_shortlists(directory, TEXTS, SAMPLE, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of six languages: only they count when scripts are shared."""
    directory = tmp_path_factory.mktemp("six") / "model"
    shutil.copytree(converted, directory)
    old = read_description(directory)
    write_description(directory, old.name, old.licence, old.quantization, old.positions, CODES)
    return directory


@pytest.fixture(scope="module")
def built(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ShortlistReport]:
    directory = tmp_path_factory.mktemp("built") / "model"
    shutil.copytree(model, directory)
    return directory, build(directory)


def test_a_list_for_languages_with_texts_and_for_rare_scripts(built: tuple[Path, ShortlistReport]) -> None:
    directory, report = built
    known = {one.language: one for one in report.lists}
    assert set(known) == set(read_description(directory).languages)
    assert report.languages == {"deu_Latn", "jpn_Jpan", "hin_Deva"}
    assert known["deu_Latn"].texts == LEAST_TEXTS
    assert known["fra_Latn"].refused == f"1 texts, of {LEAST_TEXTS} that it needs"
    assert known["swh_Latn"].refused == "no texts given"
    assert 0 < known["deu_Latn"].tokens < report.vocabulary - report.always
    assert read_shortlists(directory, read_description(directory)) == report


def test_the_lists_hold_what_the_texts_and_the_script_need(built: tuple[Path, ShortlistReport]) -> None:
    directory, _ = built
    lines = (directory / VOCABULARY_MAP).read_text(encoding="utf-8").split("\n")
    lists = {line.split("\t")[0]: set(line.split("\t")[1].split(" ")) for line in lines if line}
    german = lists["list:deu_Latn"] | lists["list:Latin"]
    assert {"1", "9", ".", "?", "a"} <= german
    vocabulary = read_vocabulary(directory)
    hindi = {piece for piece in vocabulary if set(piece) & set("लालसेब")}
    assert hindi
    assert hindi <= lists["list:hin_Deva"] | lists["list:Devanagari"]
    assert {piece for piece in vocabulary if set(piece) & set("りんごい")} <= lists["list:jpn_Jpan"] | lists[
        "list:Han+Hiragana+Katakana"
    ]


def test_what_was_compared_is_what_the_engine_does(built: tuple[Path, ShortlistReport]) -> None:
    directory, report = built
    with Engine(directory, DECODING, threads=ONE) as engine:
        for one in report.lists:
            if not one.tokens:
                continue
            # Half of the sample adds to the list, the other half is compared.
            requests = [Request(text, "eng_Latn", one.language) for text in SAMPLE[1::2]]
            full = [translation.text for translation in engine.translate(requests, full=True)]
            short = [translation.text for translation in engine.translate(requests)]
            same = sum(map(str.__eq__, full, short)) / len(full)
            assert one.sample == len(full) == 20
            assert one.agreement == pytest.approx(same)
            assert one.chrf_difference is not None
            assert (one.chrf_difference == 0) == (same == 1)


def test_the_weights_stay_and_so_does_the_digest(model: Path, built: tuple[Path, ShortlistReport]) -> None:
    directory, _ = built
    assert read_description(directory).digest == read_description(model).digest
    assert read_description(directory).shortlist_digest


def test_lists_are_on_disk_before_they_replace_others(
    built: tuple[Path, ShortlistReport], tmp_path: Path, synced: list[Synced]
) -> None:
    directory = tmp_path / "model"
    shutil.copytree(built[0], directory)
    before = read_description(directory).files
    build(directory)
    places = [place for place, _ in synced]
    first = places.index(directory)
    assert {place.name for place in places[:first]} >= {*before, DESCRIPTION}
    assert places[-1] == directory


def test_building_again_gives_the_same_bytes(built: tuple[Path, ShortlistReport], tmp_path: Path) -> None:
    directory, _ = built
    shutil.copytree(directory, tmp_path / "model")
    build(tmp_path / "model")
    assert digests(tmp_path / "model") == digests(directory)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_lists_that_the_texts_cannot_make_stay(built: tuple[Path, ShortlistReport], tmp_path: Path) -> None:
    directory, before = built
    shutil.copytree(directory, tmp_path / "model")
    told: list[str] = []

    def again(**changes: object) -> ShortlistReport:
        options = {"decoding": DECODING, "threads": ONE, "least_agreement": 0.0, "frequent": 20} | changes
        french = {"fra_Latn": ["une pomme rouge sur la table"] * LEAST_TEXTS}
        return build_shortlists(tmp_path / "model", french, SAMPLE, **options)  # type: ignore[arg-type]

    after = again(progress=told.append)
    assert after.languages == before.languages | {"fra_Latn"}
    for one in before.lists:
        if one.tokens:
            assert one in after.lists
    assert read_lists(tmp_path / "model", before.languages) == read_lists(directory, before.languages)
    assert [line for line in told if "deu_Latn, hin_Deva, jpn_Jpan: those that are there stay" in line]
    with Engine(tmp_path / "model", DECODING, threads=ONE) as engine:
        assert engine.translate([Request("a red apple", "eng_Latn", "deu_Latn")])[0].text
    assert again(anew=True).languages == {"fra_Latn"}
    assert build(tmp_path / "model").languages == before.languages | {"fra_Latn"}
    assert again(decoding=Decoding(beam_size=2, max_output_tokens=12)).languages == {"fra_Latn"}


def test_a_language_that_changes_too_much_gets_no_list(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    strict = build(tmp_path / "model", least_agreement=1.01)
    assert strict.languages == frozenset()
    refused = [one for one in strict.lists if one.agreement is not None]
    assert {one.language for one in refused} == {"deu_Latn", "jpn_Jpan", "hin_Deva"}
    for one in refused:
        assert one.refused == f"{one.agreement:.1%} the same, of at least 101.0%"
        assert not one.tokens
    with Engine(tmp_path / "model", DECODING, threads=ONE) as engine:
        assert engine.shortlisted == frozenset()


def test_english_is_compared_on_the_way_back(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    texts = {**TEXTS, "eng_Latn": SAMPLE * 5}
    report = build_shortlists(
        tmp_path / "model", texts, SAMPLE, decoding=DECODING, threads=ONE, least_agreement=0.0
    )
    (english,) = (one for one in report.lists if one.language == "eng_Latn")
    assert english.tokens
    assert english.agreement is not None
    assert english.sample >= 15


def test_a_model_in_another_order_is_written_anew(checkpoint: Path, tmp_path: Path) -> None:
    directory = tmp_path / "model"
    ctranslate2.converters.TransformersConverter(str(checkpoint)).convert(str(directory))
    shutil.copy(checkpoint / SENTENCEPIECE, directory)
    before = write_description(directory, "tiny", "none", "float32", 1024, CODES)
    requests = [Request(text, "eng_Latn", code) for text in SAMPLE[:8] for code in CODES[1:]]
    with Engine(directory, DECODING, threads=ONE) as engine:
        given = engine.translate(requests)
    build(directory)
    assert is_ordered(read_vocabulary(directory))
    assert read_description(directory).digest != before.digest
    with Engine(directory, DECODING, threads=ONE) as engine:
        assert engine.shortlisted
        assert [one.text for one in engine.translate(requests, full=True)] == [one.text for one in given]


def test_lists_that_are_damaged_do_not_keep_new_ones_from_being_built(
    built: tuple[Path, ShortlistReport], tmp_path: Path
) -> None:
    directory, _ = built
    shutil.copytree(directory, tmp_path / "model")
    (tmp_path / "model" / VOCABULARY_MAP).write_text("nonsense")
    build(tmp_path / "model")
    assert digests(tmp_path / "model") == digests(directory)


def test_damaged_weights_are_an_error_and_nothing_changes(
    built: tuple[Path, ShortlistReport], tmp_path: Path
) -> None:
    directory, _ = built
    shutil.copytree(directory, tmp_path / "model")
    with (tmp_path / "model" / "model.bin").open("r+b") as file:
        file.seek(5000)
        file.write(b"damage")
    before = digests(tmp_path / "model")
    with pytest.raises(ModelError, match=r"model\.bin: content differs"):
        build(tmp_path / "model")
    assert digests(tmp_path / "model") == before


def test_a_run_that_fails_leaves_the_model_as_it_was(model: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")
    before = digests(tmp_path / "model")

    def stop(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "model", progress=stop)
    assert digests(tmp_path / "model") == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_too_little_to_compare_with_is_an_error(model: Path) -> None:
    with pytest.raises(ValueError, match=rf"39 different English texts .* give at least {LEAST_SAMPLE}"):
        build_shortlists(model, TEXTS, SAMPLE[:39] * 3)


def test_texts_in_a_language_that_the_model_lacks_are_an_error(model: Path) -> None:
    with pytest.raises(ValueError, match=r"texts in yor_Latn: model .* was not trained on this language"):
        build_shortlists(model, {"yor_Latn": ["x"]}, SAMPLE)
