"""How much text a language has: tiers by its share of mC4, which multilingual models learn from."""

from __future__ import annotations

from translation.languages import languages

TIERS = ("high", "middle", "low", "none")
"""At least 1 % of mC4, at least 0.1 %, less, and not in mC4."""

_HIGH, _MIDDLE = 1.0, 0.1


def tier(language: str) -> str:
    """The tier of a language (NLLB code), in whatever script.

    Raises:
        KeyError: the registry does not know it.
    """
    known = languages()
    share = known[language].mc4_share
    if share is None:
        # mC4 does not part the scripts of a language: Chinese is all simplified there.
        shares = (one.mc4_share for code, one in known.items() if _bare(code) == _bare(language))
        share = max((one for one in shares if one is not None), default=None)
    if share is None:
        return "none"
    return "high" if share >= _HIGH else "middle" if share >= _MIDDLE else "low"


def _bare(code: str) -> str:
    """Of an NLLB code the language, without its script."""
    return code.partition("_")[0]
