"""What a model is asked, and what it says: the one interface of all models that answer about pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from training.pictures import BadPicture


@dataclass(frozen=True)
class Request:
    """A prompt about pictures."""

    prompt: str
    prompt_language: str
    """NLLB code of the prompt's words."""
    language: str
    """NLLB code of the answer."""
    pictures: tuple[bytes, ...] = ()
    """Encoded, in order."""


class BadPrompt(ValueError):
    """A request that the model's tokenizer cannot show it as it stands; training leaves such rows out too."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail
        """A word or two to count by, and what was found."""


@dataclass(frozen=True)
class Generation:
    """How answers are searched for; by default as mBLIP's captions (Geigle et al. 2024, arXiv:2307.06930)."""

    beams: int = 5
    """1 is greedy."""
    max_new_tokens: int = 50
    length_penalty: float = 1.0
    """Above 0 longer answers are preferred, below 0 shorter ones; of no effect without beams."""
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    """N-grams of this length never come twice; 0 for no such rule."""

    def __post_init__(self) -> None:
        for name in ("beams", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds a text as the answer."""

    total: float
    """Sum of its tokens' log-probabilities, the end token among them."""
    tokens: int

    @property
    def mean(self) -> float:
        """Log-probability of a token."""
        return self.total / self.tokens


class Answerer(Protocol):
    """A model with its weights."""

    @property
    def digest(self) -> str:
        """SHA-256 of the checkpoint: another one may give other answers."""
        ...

    @property
    def computed_with(self) -> Mapping[str, str]:
        """Kind of device, precision and quantization: with others, answers may differ too."""
        ...

    def cut_prompts(self, requests: Sequence[Request]) -> list[bool]:
        """Of each request whether its prompt is longer than the model takes, and is cut."""
        ...

    def answers(
        self, requests: Sequence[Request], settings: Generation
    ) -> list[str | BadPicture | BadPrompt]:
        """What the model says to each request, or why it cannot be asked."""
        ...

    def choice_scores(
        self, requests: Sequence[Request], choices: Sequence[Sequence[str]]
    ) -> list[list[Likelihood] | BadPicture | BadPrompt]:
        """For each request the likelihood of each of its choices, or why it cannot be asked."""
        ...
