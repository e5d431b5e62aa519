"""What the training draws: balanced, the same for the same round, whole, and in batches that fit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import sentencepiece

from scripts.small_model.examples import (
    END,
    PICTURES,
    SHORT,
    WEIGHTS,
    Draws,
    Example,
    Pairs,
    batches,
    encode,
    probabilities,
    respelt,
    sample_of,
)
from scripts.small_model.vocabulary import train_sentencepiece, unknown_rates

CODES = {"eng_Latn": 900, "deu_Latn": 901, "fra_Latn": 902}
WORDS = ["cat", "dog", "tree", "red apple", "bird", "house", "fire engine", "boat"]
PAIRS = Pairs(
    sources=WORDS * 2 + ["Save the file.", "Open"],
    targets=[f"{word}er" for word in WORDS] + [f"le {word}" for word in WORDS] + ["Datei sichern.", "Öffnen"],
    codes=["deu_Latn"] * 8 + ["fra_Latn"] * 8 + ["deu_Latn"] * 2,
    kinds=["name"] * 16 + ["sentence", "interface"],
)


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> sentencepiece.SentencePieceProcessor:
    folder = tmp_path_factory.mktemp("pieces")
    path = train_sentencepiece(
        PAIRS.sources, list(zip(PAIRS.codes, PAIRS.targets, strict=True)), folder, 420, 1
    )
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


def test_pieces_of_other_texts_or_another_size_are_made_again(tmp_path: Path) -> None:
    others = list(zip(PAIRS.codes, PAIRS.targets, strict=True))

    def made(english: list[str], size: int) -> tuple[bytes, int]:
        path = train_sentencepiece(english, others, tmp_path, size, 1)
        return path.read_bytes(), path.stat().st_mtime_ns

    first = made(PAIRS.sources, 420)
    assert made(PAIRS.sources, 420) == first
    smaller = made(PAIRS.sources, 400)
    assert smaller[0] != first[0]
    assert made([*PAIRS.sources, "zebra crossing zebra"], 400)[0] != smaller[0]


def test_nothing_is_unknown_to_the_vocabulary(
    processor: sentencepiece.SentencePieceProcessor, tmp_path: Path
) -> None:
    text = "鑿 ⵣ 𓀀 Ǆ"
    assert processor.decode(processor.encode(text)) == text
    assert processor.unk_id() not in processor.encode(text)
    rates = unknown_rates(processor, [("deu_Latn", "cat"), ("zho_Hans", "鑿")])
    assert rates["deu_Latn"][1] == 0.0
    assert rates["zho_Hans"] == (4.0, 0.75)


def test_cells_are_drawn_by_the_root_of_their_size_and_their_kinds_weight() -> None:
    shares = probabilities(PAIRS, frozenset({"cat"}))
    assert shares.sum() == pytest.approx(1)
    cells: Counter[tuple[str, str]] = Counter()
    for code, kind, share in zip(PAIRS.codes, PAIRS.kinds, shares.tolist(), strict=True):
        cells[code, kind] += share
    names, sentences = cells["deu_Latn", "name"], cells["deu_Latn", "sentence"]
    assert names / sentences == pytest.approx(8**0.5 * WEIGHTS["name"] / WEIGHTS["sentence"])
    assert cells["fra_Latn", "name"] == pytest.approx(names)
    assert shares[0] / shares[1] == pytest.approx(PICTURES)


def test_long_interface_strings_are_drawn_more_rarely() -> None:
    sources = ["Open", "x" * (2 * SHORT)]
    for kind, times in (("interface", 2.0), ("sentence", 1.0)):
        shares = probabilities(Pairs(sources, sources, ["deu_Latn"] * 2, [kind] * 2), frozenset())
        assert shares[0] / shares[1] == pytest.approx(times)


def test_a_round_is_the_same_whenever_it_is_drawn(processor: sentencepiece.SentencePieceProcessor) -> None:
    def drawn(number: int, seed: int = 1) -> list[tuple[list[int], list[int]]]:
        draws = Draws(PAIRS, processor, CODES, frozenset(), 0.4, seed)
        return [(one.source.tolist(), one.target.tolist()) for one in draws.round(number, 60)]

    draws = Draws(PAIRS, processor, CODES, frozenset(), 0.4, 1)
    draws.round(5, 60)
    after = [(one.source.tolist(), one.target.tolist()) for one in draws.round(0, 60)]
    assert drawn(0) == after
    assert drawn(0) != drawn(1)
    assert drawn(0) != drawn(0, seed=2)


def test_both_directions_have_language_text_and_end(processor: sentencepiece.SentencePieceProcessor) -> None:
    draws = Draws(PAIRS, processor, CODES, frozenset(), 0.5, 1)
    examples = draws.round(0, 400)
    forms = {
        (english, code, other)
        for english, code, other in zip(PAIRS.sources, PAIRS.codes, PAIRS.targets, strict=True)
    }
    directions: Counter[bool] = Counter()
    varied = 0
    for one in examples:
        assert (one.source[-1], one.target[-1]) == (END, END)
        languages = int(one.source[0]), int(one.target[0])
        assert CODES["eng_Latn"] in languages
        into = languages[1] == CODES["eng_Latn"]
        directions[into] += 1
        source, target = (
            processor.decode([i - 1 for i in ids[1:-1].tolist()]) for ids in (one.source, one.target)
        )
        code = next(code for code, i in CODES.items() if i == languages[0 if into else 1])
        english, other = (target, source) if into else (source, target)
        if (english, code, other) not in forms:
            varied += 1
            assert not into
            assert other in PAIRS.targets
    assert 150 < directions[True] < 250
    assert 0 < varied < 80


def test_other_spellings_mean_the_same() -> None:
    assert {respelt("apple", choice / 20) for choice in range(20)} == {
        "an apple", "An apple", "the apple", "Apple", "An apple.",
    }  # fmt: skip
    assert respelt("Save the file.", 0.1) == "Save the file"
    assert respelt("Save the file.", 0.9) == "save the file."
    assert respelt("two men", 0.1) == "Two men."


def test_batches_hold_every_example_once_and_no_more_tokens_than_asked() -> None:
    rng = np.random.default_rng(0)
    examples = [
        Example(np.full(n, number, np.int32), np.full(m, number, np.int32))
        for number, (n, m) in enumerate(rng.integers(3, 30, (500, 2)).tolist())
    ]
    made = list(batches(examples, 300, np.random.default_rng(7)))
    assert sorted(int(one.source[0]) for batch in made for one in batch) == list(range(500))
    sizes = [len(b) * (max(len(e.source) for e in b) + max(len(e.target) for e in b)) for b in made]
    assert max(sizes) <= 300
    padding = 1 - sum(len(e.source) + len(e.target) for e in examples) / sum(sizes)
    assert padding < 0.2
    again = list(batches(examples, 300, np.random.default_rng(7)))
    assert [[id(e) for e in b] for b in made] == [[id(e) for e in b] for b in again]


def test_a_text_longer_than_a_batch_has_one_of_its_own() -> None:
    long, short = (Example(np.zeros(n, np.int32), np.zeros(n, np.int32)) for n in (50, 2))
    assert sorted(map(len, batches([long, short, short], 20, np.random.default_rng(0)))) == [1, 2]


def test_texts_become_ids_of_the_dictionary(processor: sentencepiece.SentencePieceProcessor) -> None:
    encoded = encode(["cat", "", "red apple"], processor)
    assert [encoded[n].tolist() for n in range(3)] == [
        [i + 1 for i in processor.encode(text)] for text in ("cat", "", "red apple")
    ]


def test_the_judged_sample_takes_as_many_of_each_language() -> None:
    chosen = sample_of(PAIRS, 6, lambda kind: kind == "name")
    assert Counter(PAIRS.codes[n] for n in chosen) == {"deu_Latn": 3, "fra_Latn": 3}
    assert chosen == sample_of(PAIRS, 6, lambda kind: kind == "name")
