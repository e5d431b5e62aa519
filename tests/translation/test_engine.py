"""The engine against transformers on the same weights, and what it must never lose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.translation.conftest import make_checkpoint
from translation.decoder import Threads
from translation.engine import Engine
from translation.model import SMALL, ModelError, model_directory
from translation.translations import Decoding, Request

TEXTS = ["a red apple", "the black cat", "two dogs run on the beach", "a bicycle, a bus and a train", "tree"]
TARGETS = ["deu_Latn", "fra_Latn", "hin_Deva", "jpn_Jpan", "swh_Latn"]

LESSONS = {
    "the cat {name} sees a {size} dog": "le chat {name} mord un chien",
    "the cat": "le chat",
    "sees a": "mord un",
    "dog": "chien",
    "three {name} or {size} dogs": "trois {name} ou {size} {size} chiens",
    "three": "trois",
    "or": "ou",
    "dogs": "chiens",
    # No piece of the vocabulary has a snow man.
    "a snow man": "un ☃ noir",
}


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows the lessons by heart, with what is wrong in them."""
    from translation.convert import add_model

    folder = tmp_path_factory.mktemp("taught")
    checkpoint = make_checkpoint(folder / "checkpoint", lessons=LESSONS, steps=150)
    add_model(str(checkpoint), folder / "model", "float32")
    return folder / "model"


def transformers_output(checkpoint: Path, text: str, target: str, beam_size: int, length: int) -> list[str]:
    """Tokens that `generate` gives for the same weights, without language code and end mark."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, NllbTokenizer

    tokenizer = NllbTokenizer.from_pretrained(checkpoint, src_lang="eng_Latn")
    model = AutoModelForSeq2SeqLM.from_pretrained(checkpoint).eval()
    with torch.inference_mode():
        output = model.generate(
            **tokenizer(text, return_tensors="pt"),
            forced_bos_token_id=tokenizer.convert_tokens_to_ids(target),
            num_beams=beam_size,
            do_sample=False,
            max_new_tokens=length,
            early_stopping=True,
            length_penalty=1.0,
        )[0]
    tokens = tokenizer.convert_ids_to_tokens(output)[2:]
    return tokens[: tokens.index("</s>")] if "</s>" in tokens else tokens


@pytest.mark.parametrize("beam_size", [1, 4])
def test_agrees_with_transformers_token_for_token(checkpoint: Path, converted: Path, beam_size: int) -> None:
    length = 40
    # Its early stopping is a patience of 1.
    decoding = Decoding(beam_size=beam_size, patience=1.0, max_output_tokens=length - 2)
    with Engine(converted, decoding, threads=Threads(intra=1)) as engine:
        for text, target in zip(TEXTS, TARGETS, strict=True):
            (tokens,) = engine.tokens([Request(text, "eng_Latn", target)])
            assert tokens == transformers_output(checkpoint, text, target, beam_size, length), (text, target)


def test_a_batch_may_mix_languages_and_equals_one_by_one(converted: Path) -> None:
    requests = [Request(text, "eng_Latn", target) for text in TEXTS for target in TARGETS]
    with Engine(converted, Decoding(beam_size=2, max_output_tokens=20), threads=Threads(intra=1)) as engine:
        together = engine.translate(requests)
        alone = [engine.translate([request])[0] for request in requests]
    assert [translation.text for translation in together] == [translation.text for translation in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)


def test_token_budget_changes_nothing(converted: Path) -> None:
    requests = [Request(text, "eng_Latn", "deu_Latn") for text in TEXTS]
    with Engine(
        converted, Decoding(max_output_tokens=20), threads=Threads(intra=1, max_batch_tokens=8)
    ) as narrow:
        small = narrow.translate(requests)
    with Engine(converted, Decoding(max_output_tokens=20), threads=Threads(intra=1)) as wide:
        assert [t.text for t in wide.translate(requests)] == [t.text for t in small]


def test_verbatim_parts_survive_and_never_reach_the_model(converted: Path) -> None:
    with Engine(converted, Decoding(max_output_tokens=10), threads=Threads(intra=1)) as engine:
        for text in ["", "   ", "42", "3,000.50", "<image>", "https://example.org/a?b=1", "\n\n", "—", "😀"]:
            (translation,) = engine.translate([Request(text, "eng_Latn", "deu_Latn")])
            assert translation.text == text
            assert translation.score == 0.0
            assert not translation.empty


def test_half_a_surrogate_pair_is_an_unknown_character_to_the_model(converted: Path) -> None:
    broken, replaced = (
        Request(f"a red {character} apple", "eng_Latn", "deu_Latn") for character in "\ud800\ufffd"
    )
    with Engine(converted, Decoding(max_output_tokens=10), threads=Threads(intra=1)) as engine:
        one, other = engine.translate([broken, replaced])
    assert one.text == other.text


def test_separators_lists_and_placeholders_are_put_back(converted: Path) -> None:
    text = "<image>\na red apple\n\n- the black cat\n- two dogs\r\n1. a bus {name} a train\n"
    with Engine(converted, Decoding(max_output_tokens=10), threads=Threads(intra=1)) as engine:
        (translation,) = engine.translate([Request(text, "eng_Latn", "fra_Latn")])
    lines = translation.text.split("\n")
    assert lines[0] == "<image>"
    assert lines[2] == ""
    assert lines[3].startswith("- ")
    assert lines[4].startswith("- ")
    assert lines[4].endswith("\r")
    assert lines[5].startswith("1. ")
    assert translation.text.count("{name}") == 1
    assert translation.text.endswith("\n")


@pytest.mark.parametrize(
    ("text", "pieces", "translation"),
    [
        # What the model makes of the sentence is in `LESSONS`.
        (
            "the cat {name} sees a {size} dog",
            "▁le▁chat▁{name}▁mord▁un▁chien",
            "le chat {name} mord un {size} chien",
        ),
        (
            "three {name} or {size} dogs",
            "▁trois▁{name}▁ou▁{size}▁{size}▁chiens",
            "trois {name} ou {size} chiens",
        ),
    ],
    ids=["one of two is lost", "one of two comes twice"],
)
def test_placeholders_come_back_exactly_if_the_model_breaks_one_of_them(
    taught: Path, text: str, pieces: str, translation: str
) -> None:
    request = Request(text, "eng_Latn", "fra_Latn")
    with Engine(taught, Decoding(max_output_tokens=30), threads=Threads(intra=1)) as engine:
        assert "".join(engine.tokens([request])[0]).replace("▁▁", "▁") == pieces
        assert engine.translate([request])[0].text == translation


def test_a_second_try_never_gives_unk(taught: Path) -> None:
    request = Request("a snow man", "eng_Latn", "fra_Latn")
    decoding = Decoding(max_output_tokens=30)
    with Engine(taught, replace(decoding, second_tries=0), threads=Threads(intra=1)) as engine:
        assert engine.translate([request])[0].unknown
    with Engine(taught, decoding, threads=Threads(intra=1)) as engine:
        (translation,) = engine.translate([request])
        assert engine.tries == {"sentences": 1, "wider_beam": 1, "mended": 1}
    assert not translation.unknown
    assert translation.text.split() == ["un", "noir"]


def test_sentences_that_touch_are_parted_where_the_target_writes_spaces(converted: Path) -> None:
    text = "赤いりんご。赤いりんご。"
    with Engine(converted, Decoding(max_output_tokens=10), threads=Threads(intra=1)) as engine:
        sentence, both, alone, chinese = engine.translate(
            [
                Request("赤いりんご。", "jpn_Jpan", "eng_Latn"),
                Request(text, "jpn_Jpan", "eng_Latn"),
                Request("赤いりんご。", "jpn_Jpan", "zho_Hans"),
                Request(text, "jpn_Jpan", "zho_Hans"),
            ]
        )
    assert both.text == f"{sentence.text} {sentence.text}"
    assert chinese.text == alone.text * 2


def test_a_whole_text_is_one_sentence_to_the_model(converted: Path) -> None:
    request = Request("What is it? a dog.", "eng_Latn", "deu_Latn")
    parts = [Request(text, "eng_Latn", "deu_Latn") for text in ("What is it?", "a dog.")]
    with Engine(converted, Decoding(max_output_tokens=20), threads=Threads(intra=1)) as engine:
        (whole,) = engine.translate([request], whole=True)
        (split,) = engine.translate([request])
        pieces = [engine.tokens([one])[0] for one in (request, *parts)]
        first, second = engine.translate(parts)
    assert pieces[0] != pieces[1] + pieces[2]
    assert whole.text == "".join(pieces[0]).replace("▁", " ").strip()
    assert split.text == f"{first.text} {second.text}"


def test_a_hypothesis_that_fills_the_limit_is_flagged(converted: Path) -> None:
    request = Request("two dogs run on the beach", "eng_Latn", "deu_Latn")
    with Engine(converted, Decoding(beam_size=1, max_output_tokens=40), threads=Threads(intra=1)) as engine:
        (tokens,) = engine.tokens([request])
    shorter = Decoding(beam_size=1, max_output_tokens=max(1, min(len(tokens), 40) - 1))
    with Engine(converted, shorter, threads=Threads(intra=1)) as engine:
        assert engine.translate([request])[0].cut_off
    if len(tokens) < 40:
        with Engine(
            converted, replace(shorter, max_output_tokens=len(tokens)), threads=Threads(intra=1)
        ) as engine:
            assert not engine.translate([request])[0].cut_off


def test_patience_finds_better_hypotheses() -> None:
    names = ("tractor", "broken heart", "gloves", "dog")
    requests = [Request(name, "eng_Latn", "kat_Geor") for name in names]
    found = {}
    for patience in (1.0, 2.0):
        decoding = Decoding(beam_size=4, patience=patience, max_output_tokens=40)
        small = model_directory(SMALL)
        with Engine(small, decoding, threads=Threads(intra=1), shortlist=False) as engine:
            found[patience] = engine.translate(requests)
    for hasty, patient in zip(found[1.0], found[2.0], strict=True):
        assert patient.score >= hasty.score - 1e-6
    assert [one.text for one in found[1.0]] != [one.text for one in found[2.0]]


def test_a_source_over_the_limit_is_flagged(converted: Path) -> None:
    with Engine(
        converted, Decoding(max_input_tokens=3, max_output_tokens=5), threads=Threads(intra=1)
    ) as engine:
        (translation,) = engine.translate([Request("two dogs run on the beach", "eng_Latn", "deu_Latn")])
    assert translation.cut_off


def test_the_score_is_the_mean_log_probability_of_the_tokens(checkpoint: Path, converted: Path) -> None:
    import torch
    from transformers import AutoModelForSeq2SeqLM, NllbTokenizer

    request = Request("a red apple", "eng_Latn", "deu_Latn")
    tokenizer = NllbTokenizer.from_pretrained(checkpoint, src_lang="eng_Latn")
    model = AutoModelForSeq2SeqLM.from_pretrained(checkpoint).eval()
    with Engine(converted, Decoding(beam_size=4, max_output_tokens=30), threads=Threads(intra=1)) as engine:
        (translation,) = engine.translate([request])
        (tokens,) = engine.tokens([request])
    assert not translation.cut_off
    labels = tokenizer.convert_tokens_to_ids(["deu_Latn", *tokens, "</s>"])
    with torch.inference_mode():
        logits = model(
            **tokenizer(request.text, return_tensors="pt"),
            decoder_input_ids=torch.tensor([[2, *labels[:-1]]]),
        ).logits[0]
    log_probabilities = logits.log_softmax(-1)[range(1, len(labels)), labels[1:]]
    assert translation.score == pytest.approx(log_probabilities.mean().item(), abs=1e-3)


def test_limits_beyond_the_models_positions_are_an_error(converted: Path) -> None:
    with pytest.raises(ModelError, match=r"max_output_tokens is 1022, .* 1024 positions; at most 1021"):
        Engine(converted, Decoding(max_output_tokens=1022))
    with Engine(converted, Decoding(beam_size=1, max_output_tokens=1021), threads=Threads(intra=1)) as engine:
        assert engine.translate([Request("a red apple", "eng_Latn", "deu_Latn")])[0].text


def test_a_loop_up_to_the_limit_is_cut_and_flagged(checkpoint: Path, tmp_path: Path) -> None:
    import json
    import shutil

    from translation.convert import add_model

    # With positions to spare on neither side, a hypothesis that never ends must not crash the run.
    copy = tmp_path / "short"
    shutil.copytree(checkpoint, copy)
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 16}), encoding="utf-8")
    add_model(str(copy), tmp_path / "converted", "float32")
    decoding = Decoding(beam_size=1, max_input_tokens=13, max_output_tokens=13, length_penalty=10.0)
    text = "two dogs run on the beach and the black cat sleeps under the old tree and a bus and a train"
    with Engine(tmp_path / "converted", decoding, threads=Threads(intra=1)) as engine:
        (translation,) = engine.translate([Request(text, "eng_Latn", "deu_Latn")])
    assert translation.cut_off


def test_a_language_the_model_lacks_is_an_error(converted: Path) -> None:
    with (
        Engine(converted, threads=Threads(intra=1)) as engine,
        pytest.raises(ValueError, match="was not trained on xyz_Latn"),
    ):
        engine.translate([Request("a cat", "eng_Latn", "xyz_Latn")])


def test_a_loop_is_decoded_again_and_stays_if_it_is_only_cut_short() -> None:
    request = Request("tropical drink", "eng_Latn", "tgl_Latn")
    small, decoding = model_directory(SMALL), Decoding(max_output_tokens=128)
    with Engine(small, replace(decoding, second_tries=0), threads=Threads(intra=1)) as engine:
        (first,) = engine.translate([request])
        assert "na na na na" in first.text
        assert engine.tries["wider_beam"] == 0
    with Engine(small, decoding, threads=Threads(intra=1)) as engine:
        # The wider beam, which may not repeat three tokens, gives `pais na na na exote`.
        assert engine.translate([request]) == [first]
        assert engine.tries == {"sentences": 1, "wider_beam": 1}
