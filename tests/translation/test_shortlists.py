"""Shortlists leave entries of the vocabulary out, and nothing else changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from translation.decoder import Threads
from translation.engine import Engine
from translation.model import (
    DESCRIPTION,
    LISTS,
    SENTENCEPIECE,
    SMALL,
    ModelError,
    model_directory,
    read_description,
    write_description,
)
from translation.shortlists import (
    SHORTLISTS,
    VOCABULARY_MAP,
    Shortlist,
    ShortlistReport,
    in_front,
    marks,
    read_shortlists,
    read_vocabulary,
    write_shortlists,
)
from translation.tokenizer import Tokenizer
from translation.translations import Decoding, Request

ONE = Threads(intra=1)
DECODING = Decoding(beam_size=2, max_output_tokens=20, second_tries=0)
TEXTS = ["a red apple", "the black cat", "two dogs run on the beach", "a bicycle, a bus and a train", "tree"]
CODES = ["deu_Latn", "fra_Latn", "hin_Deva", "jpn_Jpan", "swh_Latn"]


def with_lists(model: Path, directory: Path, lists: Mapping[str, Iterable[str]]) -> Path:
    """A copy of a model that has these lists."""
    shutil.copytree(model, directory)
    vocabulary = read_vocabulary(directory)
    entries = tuple(Shortlist(code, 0, 0, 0, None, None, "") for code in sorted(lists))
    report = ShortlistReport(len(vocabulary), len(in_front(vocabulary)), 0.0, DECODING, entries)
    write_shortlists(directory, vocabulary, lists, report)
    old = read_description(model, check=False)
    write_description(directory, old.name, old.licence, old.quantization, old.positions, old.languages)
    return directory


def requests(codes: Iterable[str] = CODES) -> list[Request]:
    return [Request(text, "eng_Latn", code) for text in TEXTS for code in codes]


@pytest.fixture(scope="module")
def every_piece(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists with the whole vocabulary in them."""
    lists = {code: read_vocabulary(converted) for code in CODES}
    return with_lists(converted, tmp_path_factory.mktemp("lists") / "every", lists)


@pytest.fixture(scope="module")
def different(converted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lists of different sizes; French and Hindi have none."""
    vocabulary = read_vocabulary(converted)
    rest = vocabulary[len(in_front(vocabulary)) :]
    lists = {"deu_Latn": rest[::2], "swh_Latn": rest[1::3], "jpn_Jpan": rest[::5]}
    return with_lists(converted, tmp_path_factory.mktemp("lists") / "different", lists)


def test_the_encoder_does_not_see_the_marks(converted: Path, every_piece: Path) -> None:
    with Engine(converted, DECODING, threads=ONE) as engine:
        # One target a batch, as with lists: scores depend in their last digits on the batch.
        plain = [one for code in CODES for one in engine.translate(requests([code]))]
    with Engine(every_piece, DECODING, threads=ONE) as engine:
        assert engine.shortlisted == set(CODES)
        listed = [one for code in CODES for one in engine.translate(requests([code]))]
    assert [one.text for one in listed] == [one.text for one in plain]
    for one, other in zip(listed, plain, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-6)


def test_nothing_but_the_list_and_the_sources_own_pieces(different: Path) -> None:
    vocabulary = read_vocabulary(different)
    rest = vocabulary[len(in_front(vocabulary)) :]
    own = {piece for pieces in Tokenizer(different / SENTENCEPIECE).encode(TEXTS) for piece in pieces}
    copied = set()
    with Engine(different, DECODING, threads=ONE) as engine:
        for code, allowed in (("deu_Latn", rest[::2]), ("swh_Latn", rest[1::3]), ("jpn_Jpan", rest[::5])):
            used = {piece for pieces in engine.tokens(requests([code])) for piece in pieces}
            beyond = used - set(allowed) - set(in_front(vocabulary))
            assert beyond <= own
            copied |= beyond
    assert copied


def test_lists_of_different_sizes_follow_each_other(different: Path) -> None:
    with Engine(different, DECODING, threads=ONE) as engine:
        mixed = engine.translate(requests())
        again = engine.translate(requests())
        full = engine.translate(requests(), full=True)
    alone = {}
    for code in CODES:
        with Engine(different, DECODING, threads=ONE) as engine:
            alone.update(zip(requests([code]), engine.translate(requests([code])), strict=True))
    assert [one.text for one in mixed] == [alone[request].text for request in requests()]
    assert mixed == again
    with Engine(different, DECODING, threads=ONE, shortlist=False) as engine:
        assert engine.shortlist_digest == ""
        assert engine.shortlisted == frozenset()
        assert [one.text for one in engine.translate(requests())] == [one.text for one in full]
    assert [one.text for one in mixed] != [one.text for one in full]


def test_a_list_that_ctranslate2_does_not_find_is_an_error(different: Path, tmp_path: Path) -> None:
    shutil.copytree(different, tmp_path / "model")
    path = tmp_path / "model" / VOCABULARY_MAP
    path.write_text(path.read_text(encoding="utf-8").replace(marks("deu_Latn")[0], "elsewhere"))
    with pytest.raises(ModelError, match=r"vmap\.txt: content differs .* `translate-mix model shortlist`"):
        Engine(tmp_path / "model", DECODING)
    with pytest.raises(ModelError, match=r"CTranslate2 \d.* where the shortlist of deu_Latn has \d+"):
        Engine(tmp_path / "model", DECODING, threads=ONE, check=False)


def test_lists_are_told_from_the_model(converted: Path, different: Path, every_piece: Path) -> None:
    plain, one, other = (read_description(path) for path in (converted, different, every_piece))
    assert plain.digest == one.digest == other.digest
    assert plain.shortlist_digest == ""
    assert len({one.shortlist_digest, other.shortlist_digest, ""}) == 3
    assert read_shortlists(converted, plain) is None
    report = read_shortlists(different, one)
    assert report is not None
    assert report.languages == {"deu_Latn", "swh_Latn", "jpn_Jpan"}
    assert report.decoding == DECODING


def test_a_map_that_model_json_does_not_name_is_not_used(different: Path, tmp_path: Path) -> None:
    shutil.copytree(different, tmp_path / "model")
    content = json.loads((tmp_path / "model" / DESCRIPTION).read_text())
    for name in LISTS:
        del content["files"][name]
    (tmp_path / "model" / DESCRIPTION).write_text(json.dumps(content))
    with Engine(tmp_path / "model", DECODING, threads=ONE) as engine:
        assert engine.shortlisted == frozenset()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"lists": [{"language": "deu_Latn"}]}'])
def test_a_broken_report_is_an_error(different: Path, tmp_path: Path, content: str) -> None:
    shutil.copytree(different, tmp_path / "model")
    (tmp_path / "model" / SHORTLISTS).write_text(content)
    with pytest.raises(
        ModelError, match=r"shortlists\.json: not a report .* `translate-mix model shortlist`"
    ):
        Engine(tmp_path / "model", DECODING, check=False)


def test_the_map_has_a_line_for_every_entry_that_can_stand_in_it(tmp_path: Path) -> None:
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", "deu_Latn", "▁a", "b c", "d\te", "", "ä"]
    entries = tuple(Shortlist(code, 0, 7, 0, None, None, "") for code in ("deu_Latn", "ell_Grek", "fra_Latn"))
    report = ShortlistReport(10, 5, 0.98, DECODING, entries)
    lists = {"fra_Latn": ["▁a"], "deu_Latn": ["ä", "▁a", "b c", "</s>", "unheard of"], "ell_Grek": ["ä"]}
    report = write_shortlists(tmp_path, vocabulary, lists, report)
    assert (tmp_path / VOCABULARY_MAP).read_text(encoding="utf-8").split("\n") == [
        "\t<s> <pad> </s> <unk> deu_Latn",
        "list:Greek\tä",
        "list:Latin\t▁a",
        "list:deu_Latn\tä",
        "list:ell_Grek\t",
        "list:fra_Latn\t",
        "▁a\t▁a",
        "ä\tä",
        "",
    ]
    assert [one.tokens for one in report.lists] == [2, 1, 1]


def test_a_vocabulary_with_marks_in_it_gets_no_lists(tmp_path: Path) -> None:
    (tmp_path / "shared_vocabulary.json").write_text('["</s>", "list:deu_Latn"]')
    with pytest.raises(ModelError, match="'list:deu_Latn' would be taken for the mark of a list"):
        read_vocabulary(tmp_path)


# --- second tries ---------------------------------------------------------------------------------


def test_what_a_list_spoils_is_translated_with_the_whole_vocabulary(converted: Path, tmp_path: Path) -> None:
    vocabulary = read_vocabulary(converted)
    # With a single piece to say anything with, hypotheses loop or break off.
    model = with_lists(converted, tmp_path / "model", dict.fromkeys(CODES, vocabulary[-1:]))
    with Engine(model, DECODING, threads=ONE) as engine:
        spoilt = engine.translate(requests())
        assert not engine.tries["whole_vocabulary"]
    with Engine(model, replace(DECODING, second_tries=1), threads=ONE) as engine:
        mended = engine.translate(requests())
        full = engine.translate(requests(), full=True)
        tries = engine.tries
    assert 0 < tries["mended"] <= tries["whole_vocabulary"] <= len(requests())
    assert tries["sentences"] == 2 * len(requests())
    changed = [
        (now.text, whole.text)
        for before, now, whole in zip(spoilt, mended, full, strict=True)
        if now.text != before.text
    ]
    assert len(changed) == tries["mended"]
    assert all(now == whole for now, whole in changed)


@pytest.mark.parametrize(("tries", "wider"), [(0, 0), (1, 0), (2, 1)])
def test_the_whole_vocabulary_is_one_try_and_the_wider_beam_another(
    every_piece: Path, tries: int, wider: int
) -> None:
    # A limit that nothing mends.
    decoding = Decoding(beam_size=1, max_output_tokens=1, second_tries=tries)
    with Engine(every_piece, decoding, threads=ONE) as engine:
        assert engine.translate([Request("two dogs run on the beach", "eng_Latn", "deu_Latn")])[0].cut_off
        assert engine.tries["whole_vocabulary"] == min(tries, 1)
        assert engine.tries["wider_beam"] == wider


def test_without_a_list_the_wider_beam_is_the_first_try(different: Path) -> None:
    decoding = Decoding(beam_size=1, max_output_tokens=1, second_tries=1)
    with Engine(different, decoding, threads=ONE) as engine:
        engine.translate([Request("two dogs run on the beach", "eng_Latn", "fra_Latn")])
        assert engine.tries == {"sentences": 1, "wider_beam": 1}


def test_a_sentence_that_stays_cut_off_stays_flagged(converted: Path) -> None:
    request = Request("two dogs run on the beach", "eng_Latn", "deu_Latn")
    decoding = Decoding(beam_size=1, max_output_tokens=1)
    with Engine(converted, decoding, threads=ONE) as engine:
        (translation,) = engine.translate([request])
        assert engine.tries["wider_beam"] == 1
        assert engine.tries["mended"] == 0
    with Engine(converted, replace(decoding, second_tries=0), threads=ONE) as engine:
        assert engine.translate([request]) == [translation]
        assert engine.tries["wider_beam"] == 0
    assert translation.cut_off


def test_good_sentences_are_not_tried_again(converted: Path) -> None:
    with Engine(converted, Decoding(beam_size=1, max_output_tokens=40), threads=ONE) as engine:
        first = engine.translate(requests())
        tries = engine.tries
        faulty = sum(one.cut_off or one.empty or one.unknown for one in first)
    assert tries["wider_beam"] < len(requests())
    assert tries["wider_beam"] >= faulty


# --- the model that ships -------------------------------------------------------------------------


def test_the_lists_of_the_small_model_change_next_to_nothing() -> None:
    captions = json.loads(files("pipelines").joinpath("sample", "captions.json").read_text(encoding="utf-8"))
    names = sorted({entry["caption"] for entry in captions["annotations"]})[:60]
    codes = ["deu_Latn", "hin_Deva", "jpn_Jpan", "kat_Geor", "swh_Latn"]
    wanted = [Request(name, "eng_Latn", code) for name in names for code in codes]
    with Engine(model_directory(SMALL), Decoding(max_output_tokens=128), threads=ONE) as engine:
        assert engine.shortlisted > set(codes)
        listed = engine.translate(wanted)
        full = engine.translate(wanted, full=True)
    same = sum(one.text == other.text for one, other in zip(listed, full, strict=True))
    assert same >= 0.98 * len(wanted)
