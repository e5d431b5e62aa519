"""Between the vision encoder and the language model: the MLP that may stand in the place of a Q-Former."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class QFormerShape:
    """A new Q-Former; the defaults are BLIP-2's (Li et al. 2023)."""

    queries: int = 32
    layers: int = 12
    width: int = 768
    heads: int = 12
    cross_attention_every: int = 2

    def __post_init__(self) -> None:
        for name in ("queries", "layers", "width", "heads", "cross_attention_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)!r} must be at least 1")
        if self.width % self.heads:
            raise ValueError(f"width: {self.width} cannot be shared among {self.heads} heads")


@dataclass(frozen=True)
class MlpShape:
    """An MLP; two layers are LLaVA-1.5's (Liu et al. 2023)."""

    layers: int = 2
    """With the last, `language_projection`."""
    width: int | None = None
    """Of the layers between; None: that of the language model."""

    def __post_init__(self) -> None:
        for name in ("layers", "width"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}: {value!r} must be at least 1")


class Projector(nn.Module):
    """All layers of an MLP but the last; normalises first, since encoders' scales differ."""

    def __init__(self, features: int, width: int, layers: int, eps: float = 1e-6) -> None:
        """
        Args:
            features: width of the encoder's features.
            width: of what comes out, unless there is but one layer.
            layers: with the last.
        """
        super().__init__()
        self.norm = nn.LayerNorm(features, eps=eps)
        self.layers = nn.ModuleList(
            nn.Linear(features if number == 0 else width, width) for number in range(layers - 1)
        )
        self.activation = nn.GELU()

    def forward(self, features: Tensor) -> Tensor:
        """(pictures, tokens, features) -> (pictures, tokens, width)."""
        hidden: Tensor = self.norm(features.to(self.norm.weight.dtype))
        for layer in self.layers:
            hidden = self.activation(layer(hidden))
        return hidden
