"""What goes into the engine and what comes out: plain values, without any model behind them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Request:
    """A text to translate. `source` and `target` are NLLB codes."""

    text: str
    source: str
    target: str


@dataclass(frozen=True)
class Translation:
    """A hypothesis and what the engine knows of it."""

    text: str
    score: float
    """Log-probability per target token over all sentences; 0 where nothing was translated."""
    cut_off: bool
    """Input or output reached the length limit in some sentence."""
    unknown: bool
    """The hypothesis holds `<unk>`, which the text leaves out."""
    empty: bool
    """Some sentence came back empty."""


@dataclass(frozen=True)
class Decoding:
    """How the engine decodes; part of every mix's signature."""

    beam_size: int = 4
    """Hypotheses that are followed at once; 1 is greedy, faster and a little worse."""
    patience: float = 2.0
    """Hypotheses that must have ended before the search stops, as a multiple of the beam size; with more it
    finds better ones and takes longer (Kasai et al. 2022, https://arxiv.org/abs/2204.05424)."""
    length_penalty: float = 1.0
    """Exponent of the length that a hypothesis's score is divided by; larger favours longer ones."""
    repetition_penalty: float = 1.0
    """Divides the scores of tokens that are there already; 1 does nothing."""
    no_repeat_ngram_size: int = 0
    """Runs of so many tokens come only once; 0 does nothing."""
    max_input_tokens: int = 512
    """Tokens of one sentence; NLLB was trained with 512."""
    max_output_tokens: int = 512
    """Tokens of one sentence's translation; a longer one is cut off, and rejected."""
    second_tries: int = 2
    """How often, 0 to 2 times, a sentence is decoded again that came back cut off, empty, in a loop or with
    `<unk>`: with the whole vocabulary where a shortlist was used, then with more hypotheses and no repeated
    run of tokens. The first good result counts."""
