"""In which scripts the pieces of a vocabulary are written."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import regex
from numpy.typing import NDArray

SPACE = "▁"
"""What SentencePiece writes for a space, at the beginning of a piece."""

_ANYWHERE = r"[\p{P}0-9\p{Sc}\p{Sm}A-Za-z]"
"""Characters that stand in texts of every script: punctuation, digits, signs, the Latin letters of names."""

Flags = NDArray[np.bool_]


class PieceScripts:
    """The pieces of a vocabulary by their characters, which are looked at once for all languages.

    Scripts have their long names in Unicode, and what is in them is told by `Script_Extensions`: marks and
    digits belong to scripts too, what belongs to none in particular goes with each.
    """

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._vocabulary = vocabulary
        texts = [piece.removeprefix(SPACE) for piece in vocabulary]
        self._lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        self._ends = np.cumsum(self._lengths)
        joined = "".join(texts)
        self._distinct = "".join(sorted(set(joined)))
        number = {character: index for index, character in enumerate(self._distinct)}
        self._numbers = np.fromiter((number[character] for character in joined), np.int64, len(joined))

    def written_in(self, scripts: Collection[str]) -> list[str]:
        """The pieces in these scripts alone, with a character of them or more, in the vocabulary's order."""
        own = self._in(scripts)
        return self._chosen(self._all(own | self._in(("Common", "Inherited"))) & self._any(own))

    def written_with(self, letters: Collection[str], scripts: Collection[str]) -> list[str]:
        """Those in `scripts` that have a letter or mark of one of the scripts `letters`."""
        own, lettered = self._in(scripts), self._in(letters) & self._matching(r"[\p{L}\p{M}]")
        return self._chosen(self._all(own | self._in(("Common", "Inherited"))) & self._any(lettered))

    def single(self, scripts: Collection[str]) -> list[str]:
        """The pieces of one character (or the space alone) of these scripts, or of one that is anywhere."""
        fit = self._in(scripts) | self._matching(_ANYWHERE)
        return self._chosen(self._all(fit) & (self._lengths <= 1))

    def _chosen(self, pieces: Flags) -> list[str]:
        return [piece for piece, chosen in zip(self._vocabulary, pieces.tolist(), strict=True) if chosen]

    def _in(self, scripts: Collection[str]) -> Flags:
        """Per distinct character whether it is in one of these scripts."""
        if not scripts:
            return np.zeros(len(self._distinct), np.bool_)
        return self._matching("[" + "".join(rf"\p{{scx={script}}}" for script in sorted(scripts)) + "]")

    def _matching(self, pattern: str) -> Flags:
        found = set(regex.findall(pattern, self._distinct))
        flags = [character in found for character in self._distinct]
        return np.array(flags, np.bool_)

    def _all(self, characters: Flags) -> Flags:
        """Per piece whether all its characters are among these."""
        return np.equal(self._count(characters), self._lengths)

    def _any(self, characters: Flags) -> Flags:
        return np.greater(self._count(characters), 0)

    def _count(self, characters: Flags) -> NDArray[np.int64]:
        running = np.concatenate([[0], np.cumsum(characters[self._numbers])])
        counted: NDArray[np.int64] = running[self._ends] - running[self._ends - self._lengths]
        return counted
