"""Tokens of texts behind other texts, where a tokenizer puts a space before all that it is given.

SentencePiece's dummy prefix (Llama 2, Mistral, Zephyr) makes `▁Ein` of `Ein`, as if each text was the first.
In the middle of a conversation that is a token, or a `▁` too many, that the language model never saw there;
so a text is tokenised together with what stands before it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

TokensOf = Callable[[Sequence[str]], list[list[int]]]
"""The tokens of texts, as the tokenizer makes them of each alone, without special ones around it."""

_FOLLOWING = ("Ein", "the", "12", "草地")
"""Stand for texts whose beginning is unknown."""

_ENDS = ("a", ".", "\n")
"""Stand for texts whose end is unknown: the first is taken that makes no token with what follows."""


@dataclass(frozen=True)
class Place:
    """Where a text stands behind another one."""

    anchors: tuple[str, ...]
    """Short texts behind which a text has the tokens that it has where it stands; a later one is taken where
    the text makes one token with the end of an earlier one."""
    lead: str = ""
    """Spaces before the text that are part of its first token."""

    def tokens(self, texts: Sequence[str], tokens_of: TokensOf) -> list[list[int]]:
        """The tokens that each text has here, with those of the lead."""
        found: dict[str, list[int]] = {}
        for anchor in self.anchors:
            left = [text for text in texts if text not in found]
            if not left:
                break
            head, *joined = tokens_of([anchor, *(f"{anchor}{self.lead}{text}" for text in left)])
            for text, ids in zip(left, joined, strict=True):
                if ids[: len(head)] == head:
                    found[text] = ids[len(head) :]
        left = [text for text in texts if text not in found]
        if left:
            found |= zip(left, tokens_of(left), strict=True)
        return [found[text] for text in texts]


@dataclass(frozen=True)
class Border:
    """A text up to where another begins."""

    tokens: tuple[int, ...]
    """Those that stay, whatever follows."""
    place: Place
    """Of what follows."""


def border_behind(before: str, tokens_of: TokensOf) -> Border | None:
    """Where a text begins behind another; None where both make one token.

    A space belongs to the word behind it: of `[/INST] ` and `Ein` come the tokens `]` and `▁Ein`.
    """
    joined = tokens_of([before + text for text in _FOLLOWING])
    for end in range(len(before), len(before.rstrip()) - 1, -1):
        fixed, lead = before[:end], before[end:]
        (head,) = tokens_of([fixed])
        if any(ids[: len(head)] != head for ids in joined):
            continue
        behind = [ids[len(head) :] for ids in joined]
        # The shortest first: what stands before every text is tokenised with each.
        candidates = dict.fromkeys(("", "\n", fixed[-1:], fixed))
        anchors = [one for one in candidates if Place((one,), lead).tokens(_FOLLOWING, tokens_of) == behind]
        return Border(tuple(head), Place(tuple(anchors), lead))
    return None


def tokens_behind_texts(after: str, tokens_of: TokensOf) -> tuple[int, ...]:
    """The tokens of what stands behind texts of any kind."""
    for end in _ENDS:
        head, joined = tokens_of([end, end + after])
        if joined[: len(head)] == head:
            return tuple(joined[len(head) :])
    return tuple(tokens_of([after])[0])


def border_behind_texts(between: str, tokens_of: TokensOf) -> Border | None:
    """Where a text begins behind what stands behind texts of any kind; None where all make one token."""
    for end in _ENDS:
        (head,) = tokens_of([end])
        border = border_behind(end + between, tokens_of)
        if border is not None and list(border.tokens[: len(head)]) == head:
            return Border(border.tokens[len(head) :], border.place)
    return None
