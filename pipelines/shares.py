"""What share of the mix each language gets: the language policy, as numbers that sum to 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from translation.languages import ENGLISH, resolve

UNIFORM: Final = "uniform"
PROPORTIONAL: Final = "proportional"

_TOLERANCE = 1e-12
"""Above the rounding error of sums of a hundred shares, below half a row of any mix."""


_ROUNDED = 1e-3
"""Of a share that people write."""


class PolicyError(ValueError):
    """A combination of values that no mix can have; `key` is the one to change, the message says how."""

    def __init__(self, key: str, remedy: str) -> None:
        self.key = key
        super().__init__(remedy)

    def __reduce__(self) -> tuple[type[PolicyError], tuple[str, str]]:
        # Pickle would call the class with the message alone.
        return type(self), (self.key, str(self))


@dataclass(frozen=True)
class LanguagePolicy:
    """A share of English, and how the other languages share the rest."""

    english_share: float
    """Share of the rows of the mix, 0 to 1; no floor or cap applies to it."""
    codes: tuple[str, ...] = ()
    """NLLB codes without English; the keys of `weights` where that is a mapping."""
    weights: Literal["uniform", "proportional"] | Mapping[str, float] = UNIFORM
    """`proportional` means to mC4; only the ratios of a mapping's weights matter."""
    alpha: float = 1.0
    """Exponent of the mC4 shares, for `proportional`: 1 is raw, 0.3 is mT5's, 0 is uniform."""
    floor: float = 0.0
    """The least share of the whole mix for each language but English."""
    cap: float | None = None
    """The largest share of the whole mix for each language but English."""
    per_example: int = 1
    """Rows that one unit gives, each in another language."""
    unit: Literal["example", "image"] = "example"
    """What gets the languages: each example its own, or a picture the same for all its examples."""

    def shares(self) -> dict[str, float]:
        """Code to share of the mix, English first, then in code order; they sum to 1.

        Raises:
            PolicyError: the values contradict each other.
        """
        self._check_values()
        codes = self._codes()
        rest = 1 - self.english_share
        if not codes and rest > 0:
            remedy = f"no language is left for the {rest:.4g} that is not English; add codes, or give it 1"
            raise PolicyError("codes", remedy)
        weights = self._weights(codes)
        self._check_room(weights, rest)
        cap = rest if self.cap is None else self.cap
        filled = _filled(list(weights.values()), rest, self.floor, cap)
        shares = {ENGLISH: self.english_share, **dict(zip(weights, filled, strict=True))}
        limit, wanted = 1 / self.per_example, [code for code, share in shares.items() if share]
        if len(wanted) == self.per_example and all(abs(shares[one] - limit) < _ROUNDED for one in wanted):
            # Each example is in all of them, whatever digit `0.3333` was cut after.
            return shares | dict.fromkeys(wanted, limit)
        self._check_distinct(shares)
        return shares

    def _check_values(self) -> None:
        if not 0 <= self.english_share <= 1:
            raise PolicyError("english_share", f"{self.english_share!r} is no share; give 0 to 1")
        if not (math.isfinite(self.alpha) and self.alpha >= 0):
            raise PolicyError("alpha", f"{self.alpha!r} is no exponent; give 0 (uniform) or more")
        if not 0 <= self.floor <= 1:
            raise PolicyError("floor", f"{self.floor!r} is no share; give 0 to 1")
        if self.cap is not None and not 0 < self.cap <= 1:
            raise PolicyError("cap", f"{self.cap!r} is no share to be had; give more than 0, at most 1")
        if self.cap is not None and self.cap < self.floor:
            remedy = f"{self.cap:g} is below the floor {self.floor:g}; raise it, or lower that"
            raise PolicyError("cap", remedy)
        if self.per_example < 1:
            raise PolicyError("per_example", f"{self.per_example!r} languages; each example needs at least 1")
        if self.unit not in ("example", "image"):
            raise PolicyError("unit", f"{self.unit!r}; must be one of example, image")

    def _codes(self) -> Sequence[str]:
        """The codes in order, checked."""
        given = isinstance(self.weights, Mapping)
        codes = sorted(self.weights if isinstance(self.weights, Mapping) else self.codes)
        if given and self.codes and sorted(self.codes) != codes:
            other = ", ".join(sorted(set(self.codes) ^ set(codes)))
            remedy = f"weights have codes as keys, but only one of the two names {other}; drop `codes`"
            raise PolicyError("codes", remedy)
        if ENGLISH in codes:
            remedy = "English has its own share, `english_share`; take it out"
            raise PolicyError(f"weights.{ENGLISH}" if given else "codes", remedy)
        twice = sorted({one for one, other in pairwise(codes) if one == other})
        if twice:
            raise PolicyError("codes", f"{', '.join(twice)} stands there twice; keep one")
        return codes

    def _weights(self, codes: Sequence[str]) -> dict[str, float]:
        if isinstance(self.weights, Mapping):
            for code in codes:
                if not (math.isfinite(self.weights[code]) and self.weights[code] >= 0):
                    remedy = f"{self.weights[code]!r} is no weight; give a number from 0"
                    raise PolicyError(f"weights.{code}", remedy)
            weights = {code: float(self.weights[code]) for code in codes}
            if codes and not any(weights.values()):
                raise PolicyError("weights", "all of them are 0; give at least one language more")
        elif self.weights == UNIFORM:
            weights = dict.fromkeys(codes, 1.0)
        elif self.weights == PROPORTIONAL:
            weights = self._mc4_weights(codes)
        else:
            remedy = f"{self.weights!r}; must be {UNIFORM}, {PROPORTIONAL}, or a mapping of codes to numbers"
            raise PolicyError("weights", remedy)
        largest = max(weights.values(), default=1.0)
        return {code: weight / largest for code, weight in weights.items()}

    def _mc4_weights(self, codes: Sequence[str]) -> dict[str, float]:
        shares = {code: resolve(code).mc4_share for code in codes}
        missing = [code for code, share in shares.items() if not share]
        if missing:
            remedy = (
                f"{', '.join(missing)}: no share of mC4 is known, so `{PROPORTIONAL}` has nothing to go by; "
                f"take {'it' if len(missing) == 1 else 'them'} out of the codes, or give each code a weight"
            )
            raise PolicyError("weights", remedy)
        largest = max((share for share in shares.values() if share), default=1.0)
        # Relative to the largest, for a share to a large power would vanish for all.
        return {code: (share / largest) ** self.alpha for code, share in shares.items() if share}

    def _check_room(self, weights: Mapping[str, float], rest: float) -> None:
        """The floors fit into what English leaves, and the caps leave nothing over."""
        least = len(weights) * self.floor
        left = f"of the mix, but English ({self.english_share:g}) leaves {rest:.4g}"
        if least > rest + _TOLERANCE:
            remedy = (
                f"a floor of {self.floor:g} gives the other languages ({len(weights)}) {least:.4g} {left}; at"
                f" most {rest / len(weights):.4g} is possible, or fewer languages, or less English"
            )
            raise PolicyError("floor", remedy)
        if self.cap is None:
            return
        # A language of weight 0 has its floor and takes nothing of what is over.
        some = sum(weight > 0 for weight in weights.values())
        most = some * self.cap + (len(weights) - some) * self.floor
        if most < rest - _TOLERANCE:
            needed = (rest - (len(weights) - some) * self.floor) / some
            remedy = (
                f"a cap of {self.cap:g} lets the other languages ({some}) take {most:.4g} {left}; at least"
                f" {needed:.4g} is needed, or more languages, or more English"
            )
            raise PolicyError("cap", remedy)

    def _check_distinct(self, shares: Mapping[str, float]) -> None:
        """No language is wanted more often than once an example."""
        limit = 1 / self.per_example
        for code, share in shares.items():
            if share > limit + _TOLERANCE:
                cure = ("lower english_share" if code == ENGLISH else "set cap") + f" to {limit:.4g}"
                remedy = (
                    f"the {self.per_example} languages of an example are distinct, so none can have more than"
                    f" {limit:.4g} of the mix, but {code} has {share:.4g}; {cure}, or per_example to"
                    f" {math.floor(1 / share + _TOLERANCE)}"
                )
                raise PolicyError("per_example", remedy)


def _filled(weights: Sequence[float], total: float, floor: float, cap: float) -> list[float]:
    """Shares in proportion to the weights, but none under the floor or over the cap, that sum to `total`.

    They are clip(level * weight, floor, cap) for the one level that gives the total, which exists where
    the floors and caps leave room.
    """

    def at(level: float) -> list[float]:
        return [min(max(level * weight, floor), cap) for weight in weights]

    bends = sorted(
        {0.0} | {bend for weight in weights if weight for bend in (floor / weight, cap / weight)} - {math.inf}
    )
    # The sum grows with the level and is linear between two bends.
    low, high = 0, len(bends) - 1
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if math.fsum(at(bends[middle])) <= total else (low, middle - 1)
    shares = at(bends[low])
    free = [
        index
        for index, weight in enumerate(weights)
        if weight and floor / weight <= bends[low] < cap / weight
    ]
    missing = total - math.fsum(shares)
    steepness = math.fsum(weights[index] for index in free)
    for index in free:
        shares[index] += missing * (weights[index] / steepness)
    return shares
