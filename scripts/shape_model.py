"""Makes a model of the exact shape of NLLB-200-distilled-600M with random weights, to measure speed with.

    python -m scripts.shape_model OUTPUT --texts TEXTS...            # one sentence a line; 6 GB of memory
    python -m scripts.shape_model OUTPUT --layers 1 --width 64 ...   # smaller ones

Writes two directories of the same weights: `OUTPUT/hf`, as `transformers` loads it, and `OUTPUT/ct2`, as
`translate-mix model add` makes it of that. A hypothesis never ends by itself: `</s>` and what else is no text
(`<unk>`, language codes) lose against every piece of text, whatever the input, so that every engine decodes
exactly as many tokens as it is allowed to.

The vocabulary is that of a SentencePiece model, NLLB's own where it is at hand, filled up to the exact number
of entries with pieces that no text holds; without `--vocabulary` and `--texts` it is the small model's. The
languages of `--lists` get shortlists as `translate-mix model shortlist` builds them, of realistic size: the
first 22,000 pieces in the language's script. What they leave out means nothing here, and is not checked.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import sentencepiece
import tokenizers
import torch
import transformers
from sentencepiece import sentencepiece_model_pb2
from transformers import GenerationConfig, M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer
from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

from translation.convert import OWN_DESCRIPTION, QUANTIZATIONS, add_model
from translation.languages import ENGLISH
from translation.model import SENTENCEPIECE, SMALL, model_directory
from translation.shortlist_building import LEAST_SAMPLE, build_shortlists
from translation.translations import Decoding

SPECIAL = 4
"""`<s> <pad> </s> <unk>`, the first entries of NLLB's dictionary; a SentencePiece model lacks `<pad>`."""
MADE_UP = 2
"""Entries of the embedding beyond the dictionary (256,206 against 256,204)."""
BESIDE_PIECES = len(FAIRSEQ_LANGUAGE_CODES) + 1 + MADE_UP + 1
"""Entries that are no piece: language codes, `<mask>`, the made-up ones, `<pad>`."""
PADDING = "▁ǆ"
"""Begins the names of the pieces of no text: in Latin script, so that lists may have them, with a letter that
no other piece has, so that no two pieces joined make one of them, which would be a merge."""
LISTED = 22_000
"""Pieces of a list; `translation.shortlist_building` says what that measures."""
BATCHES_TO_LIST = Decoding(beam_size=1, max_output_tokens=2, second_tries=0)
"""The least that can be decoded where lists are built: what comes out means nothing."""
DEPTH = 0.05
"""What the embedding of a forbidden token has below the others in every dimension (see `forbid`)."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a model; as they stand those of NLLB-200-distilled-600M."""

    layers: int = 12
    """Of the encoder and of the decoder."""
    width: int = 1024
    heads: int = 16
    feed_forward: int = 4096
    entries: int = 256_206
    """Of the vocabulary, with the language codes."""
    positions: int = 1024


def make_model(
    output: Path,
    shape: Shape,
    vocabulary: bytes,
    quantization: str = "int8",
    seed: int = 0,
    lists: Sequence[str] = (),
) -> None:
    """Writes `output/hf` and `output/ct2`.

    Args:
        vocabulary: a SentencePiece BPE model with at most `shape.entries` - 206 pieces.
        lists: NLLB codes of the languages that get a shortlist.

    Raises:
        ValueError: the vocabulary has more pieces than the shape has entries, or a model is there already.
    """
    checkpoint = output / "hf"
    if checkpoint.exists() or (output / "ct2").exists():
        raise ValueError(f"{output}: has a model already; name another folder, or remove it")
    checkpoint.mkdir(parents=True)
    (checkpoint / SENTENCEPIECE).write_bytes(filled_up(vocabulary, shape.entries - BESIDE_PIECES))
    tokenizer = NllbTokenizer.from_pretrained(
        str(checkpoint), src_lang=ENGLISH, extra_special_tokens=FAIRSEQ_LANGUAGE_CODES
    )
    tokenizer.save_pretrained(checkpoint)
    model = random_model(shape, seed)
    forbid(model, [*range(SPECIAL), *range(shape.entries - BESIDE_PIECES + 1, shape.entries)])
    model.save_pretrained(checkpoint)
    del model  # Its 2.4 GB are loaded once more for the conversion.
    described = {"name": f"random weights ({shape})", "licence": "none: random weights"}
    (checkpoint / OWN_DESCRIPTION).write_text(json.dumps(described), encoding="utf-8")
    add_model(str(checkpoint), output / "ct2", quantization)
    if lists:
        names = sample_names()
        build_shortlists(
            output / "ct2",
            dict.fromkeys(lists, names),
            names[:LEAST_SAMPLE],
            decoding=BATCHES_TO_LIST,
            least_agreement=0.0,
            frequent=LISTED,
        )


def sample_names() -> list[str]:
    """The captions of the sample that ships, a word or two each."""
    captions = json.loads(files("pipelines").joinpath("sample", "captions.json").read_text(encoding="utf-8"))
    return [annotation["caption"] for annotation in captions["annotations"]]


def filled_up(vocabulary: bytes, pieces: int) -> bytes:
    """A SentencePiece model with exactly so many pieces; the new ones stand for no text."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(vocabulary)
    missing = pieces - len(proto.pieces)
    if missing < 0:
        raise ValueError(
            f"the vocabulary has {len(proto.pieces)} pieces, but the shape has room for {pieces}"
        )
    lowest = min(piece.score for piece in proto.pieces)
    for number in range(missing):
        letters = "".join(chr(ord("a") + number // 26**place % 26) for place in range(4))
        proto.pieces.add(
            piece=PADDING + letters,
            score=lowest - 1 - number,
            type=sentencepiece_model_pb2.ModelProto.SentencePiece.UNUSED,
        )
    proto.trainer_spec.vocab_size = pieces
    content: bytes = proto.SerializeToString()
    return content


def train_vocabulary(texts: Sequence[Path], pieces: int) -> bytes:
    """A SentencePiece BPE model (as NLLB has) of text files, with as many of `pieces` as they can give.

    SentencePiece takes hours for 256,000 of them; `tokenizers` finds the same kind of merges in a minute.
    """
    learner = tokenizers.Tokenizer(tokenizers.models.BPE())
    learner.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    controls = ("<unk>", "<s>", "</s>")
    learner.train_from_iterator(
        (line.strip() for text in texts for line in text.open(encoding="utf-8")),
        tokenizers.trainers.BpeTrainer(
            vocab_size=pieces - len(controls), max_token_length=16, show_progress=False
        ),
    )
    learnt = learner.get_vocab()
    kinds = sentencepiece_model_pb2.ModelProto.SentencePiece
    proto = sentencepiece_model_pb2.ModelProto()
    proto.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.BPE
    proto.normalizer_spec.name = "identity"
    for control in controls:
        kind = kinds.UNKNOWN if control == "<unk>" else kinds.CONTROL
        proto.pieces.add(piece=control, score=0.0, type=kind)
    # The earlier a merge was learnt, the higher its score; single characters come last.
    ordered = sorted(learnt, key=lambda piece: (len(piece) == 1, learnt[piece]))
    for rank, piece in enumerate(ordered):
        proto.pieces.add(piece=piece, score=float(-rank))
    content: bytes = proto.SerializeToString()
    return content


def random_model(shape: Shape, seed: int) -> M2M100ForConditionalGeneration:
    """The model in float32, as `transformers` initialises it."""
    torch.manual_seed(seed)
    model = M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=shape.entries,
            d_model=shape.width,
            encoder_layers=shape.layers,
            decoder_layers=shape.layers,
            encoder_attention_heads=shape.heads,
            decoder_attention_heads=shape.heads,
            encoder_ffn_dim=shape.feed_forward,
            decoder_ffn_dim=shape.feed_forward,
            max_position_embeddings=shape.positions,
            dropout=0.0,
            attention_dropout=0.0,
        )
    )
    model.generation_config = GenerationConfig(
        bos_token_id=0, pad_token_id=1, eos_token_id=2, decoder_start_token_id=2
    )
    return model.eval()


@torch.no_grad()
def forbid(model: M2M100ForConditionalGeneration, tokens: Sequence[int]) -> None:
    """Makes the logits of `tokens` lower than all others, whatever the input.

    The decoder ends in a layer norm, whose output sums to nothing; with a bias of one in every dimension it
    sums to the width. An embedding lowered by `DEPTH` everywhere then loses `DEPTH` times the width. As an
    input it stays what it was: the first layer norm takes out what all dimensions share.
    """
    model.model.decoder.layer_norm.bias.fill_(1.0)
    embedding = model.model.shared.weight
    # Smaller models have smaller products: deep enough for any of them.
    embedding[list(tokens)] -= max(DEPTH, 50 / embedding.shape[1])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--vocabulary", type=Path, metavar="FILE", help="a SentencePiece model")
    source.add_argument("--texts", type=Path, nargs="+", metavar="FILE", help="text to train one on")
    for name in ("layers", "width", "heads", "feed_forward", "entries", "positions"):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=int,
            default=getattr(Shape, name),
            metavar="N",
            help="(default: %(default)s)",
        )
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="int8")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--lists", default="deu_Latn", metavar="CODES", help="(default: %(default)s; '': none)"
    )
    parsed = parser.parse_args()
    shape = Shape(
        parsed.layers, parsed.width, parsed.heads, parsed.feed_forward, parsed.entries, parsed.positions
    )
    transformers.logging.set_verbosity_error()
    try:
        if parsed.texts:
            vocabulary = train_vocabulary(parsed.texts, shape.entries - BESIDE_PIECES)
        else:
            vocabulary = (parsed.vocabulary or model_directory(SMALL) / SENTENCEPIECE).read_bytes()
        pieces = sentencepiece.SentencePieceProcessor(model_proto=vocabulary).get_piece_size()
        lists = parsed.lists.split(",") if parsed.lists else []
        make_model(parsed.output, shape, vocabulary, parsed.quantization, parsed.seed, lists)
    except (OSError, ValueError, RuntimeError) as error:
        print(f"shape_model: {error}", file=sys.stderr)
        return 1
    free = shutil.disk_usage(parsed.output).free / 2**30
    print(f"{parsed.output}: {shape}; {pieces:,} pieces of text; {free:.0f} GB of disk left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
