"""What fastText is given: windows of words or characters, balanced over languages, from a seed."""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path

import pytest

from scripts.identifier.train import (
    Recipe,
    amount,
    cut,
    examples,
    read,
    respelt,
    spaced,
    train,
    write_examples,
)
from translation.identification import normalised

SENTENCE = "the quick brown fox jumps over the lazy dog while nobody looks at the old barn behind our house"


def test_normalised_texts_are_one_composed_lower_case_line() -> None:
    assert normalised("Ein\nRotes\u00a0HERZ") == "ein rotes herz"
    assert normalised("Ọ̀rẹ́") == normalised("Ọ̀RẸ́")
    assert normalised(normalised("İstanbul")) == normalised("İstanbul")


def test_short_names_are_never_cut() -> None:
    generator = random.Random(1)
    assert {cut("red heart", generator, True) for _ in range(200)} == {"red heart"}


def test_windows_are_runs_of_words_of_all_lengths() -> None:
    generator = random.Random(1)
    windows = [cut(SENTENCE, generator, True) for _ in range(2000)]
    assert all(window in SENTENCE for window in windows)
    lengths = [len(window.split()) for window in windows]
    assert set(lengths) >= {1, 2, 3, 4, 5, 6, 10, 19}
    assert 0.25 < sum(length <= 6 for length in lengths) / 2000 < 0.5


def test_windows_of_unspaced_texts_are_counted_in_characters() -> None:
    generator = random.Random(1)
    text = "敏捷的棕色狐狸跳过了那只懒狗" * 10
    lengths = [len(cut(text, generator, False)) for _ in range(1000)]
    assert min(lengths) == 4
    assert 20 in lengths
    assert max(lengths) <= 160
    assert not spaced("zho_Hans")
    assert spaced("deu_Latn")
    assert spaced("bre_Latn")


def test_sources_share_the_lines_and_word_lists_fill_in() -> None:
    sources = {"udhr": ["artikel eins"], "tesseract": [f"wort{number}" for number in range(1000)]}
    found = list(examples("deu_Latn", sources, 1000, random.Random(1)))
    assert len(found) == 1000
    words = sum("wort" in text for text in found)
    assert 250 < words < 450


def test_names_get_articles_as_captions_do() -> None:
    found = set(examples("swe_Latn", {"cldr-names": ["utter"]}, 500, random.Random(1)))
    assert found == {"utter", "utter.", "en utter", "en utter.", "ett utter", "ett utter."}


def test_texts_are_respelt_as_people_type() -> None:
    generator = random.Random(1)
    samoan = {respelt("fa'afetai", "smo_Latn", generator) for _ in range(300)}
    assert samoan >= {"fa'afetai", "faʻafetai", "fa’afetai", "faafetai"}
    serbian = [respelt("ово је кућа", "srp_Cyrl", generator) for _ in range(1000)]
    assert 15 < serbian.count("oвo je кућa") < 75
    assert {respelt("rotes Herz", "deu_Latn", generator) for _ in range(200)} == {"rotes Herz"}


def test_neighbours_get_lines_by_their_text() -> None:
    recipe = Recipe(examples=100, neighbour_examples=50)
    assert amount("deu_Latn", 10, recipe) == 100
    assert amount("bre_Latn", 200, recipe) == 20
    assert amount("bre_Latn", 10**6, recipe) == 50


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.tsv"
    rows = [
        f"{label}\tudhr\t{split}\t{text} {number}\n"
        for label, text in (("deu_Latn", "Alle Menschen sind frei"), ("fra_Latn", "Tous les êtres humains"))
        for split in ("train", "report")
        for number in range(20)
    ]
    path.write_text("".join(rows), encoding="utf-8")
    return path


def test_only_training_texts_are_read(corpus: Path) -> None:
    assert {label: len(sources["udhr"]) for label, sources in read(corpus).items()} == {
        "deu_Latn": 20,
        "fra_Latn": 20,
    }


def test_same_seed_same_lines(corpus: Path, tmp_path: Path) -> None:
    recipe = Recipe(examples=50)
    for name in ("a", "b"):
        assert write_examples(read(corpus), recipe, tmp_path / name) == 100
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert write_examples(read(corpus), Recipe(examples=50, seed=2), tmp_path / "c") == 100
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


@pytest.mark.skipif(find_spec("fasttext") is None, reason="needs fasttext")
def test_trained_and_quantised_models_tell_two_languages_apart(corpus: Path, tmp_path: Path) -> None:
    import fasttext

    if not hasattr(fasttext, "train_supervised"):
        pytest.skip("fasttext-predict cannot train")
    recipe = Recipe(examples=400, bucket=200_000, min_count=1)
    write_examples(read(corpus), recipe, tmp_path / "train.txt")
    train(recipe, tmp_path / "train.txt", tmp_path / "identifier.ftz")
    model = fasttext.load_model(str(tmp_path / "identifier.ftz"))
    assert model.predict(normalised("Menschen"))[0][0] == "__label__deu_Latn"
    assert model.predict(normalised("les humains"))[0][0] == "__label__fra_Latn"
