"""How much text a language has: tiers by its share of mC4, which multilingual models learn from."""

from __future__ import annotations

from translation.languages import languages

TIERS = ("high", "middle", "low", "none")
"""At least 1 % of mC4, at least 0.1 %, less, and not in mC4."""

_HIGH, _MIDDLE = 1.0, 0.1


def tier(language: str) -> str:
    """The tier of a language (NLLB code).

    Raises:
        KeyError: the registry does not know it.
    """
    share = languages()[language].mc4_share
    if share is None:
        return "none"
    return "high" if share >= _HIGH else "middle" if share >= _MIDDLE else "low"
