"""The part of a recipe that says how examples are spread over languages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipelines.recipe_values import OtherLanguageCode
from pipelines.shares import LanguagePolicy, PolicyError
from translation.languages import ENGLISH, UnknownLanguage, default_languages, resolve
from translation.settings import Misfit, Section, Share


def _distinct(codes: tuple[str, ...]) -> tuple[str, ...]:
    """Sorted, because the order in the recipe means nothing and must not change the digest."""
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there twice, perhaps under another code; keep one")
    return tuple(sorted(codes))


def _default_codes() -> tuple[str, ...]:
    return tuple(one.nllb for one in default_languages() if one.nllb != ENGLISH)


class Languages(Section):
    """How examples are spread over languages: a share of English, and weights for the others."""

    english_share: Share = 0.5
    """Share of the rows that stay English."""
    codes: Annotated[tuple[OtherLanguageCode, ...], AfterValidator(_distinct)] = Field(
        default_factory=_default_codes
    )
    """The others, by NLLB, BCP-47 or mC4 code; default: the 95 of mBLIP, or those that have a weight."""
    weights: Literal["uniform", "proportional"] | dict[OtherLanguageCode, float] = "uniform"
    """`uniform`; `proportional` to what mC4 holds; or a weight for each language."""
    alpha: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Exponent of mC4's shares: 1 as they are, 0.3 as mT5 was trained, 0 uniform (`proportional` only)."""
    floor: Share = 0.0
    """Share of the mix that each of the others gets at least."""
    cap: Share | None = None
    """Share of the mix that each of the others gets at most."""
    per_example: Annotated[int, Field(ge=1)] = 1
    """Languages that each example gets, all different."""
    unit: Literal["example", "image"] = "example"
    """`image`: all examples of a picture, of every task, get the same languages, but for names of classes.
    The shares are then exact in pictures, not in rows."""

    @field_validator("weights", mode="before")
    @classmethod
    def _one_weight_each(cls, weights: Any) -> Any:
        """Before the codes become NLLB's: then only the last weight of a language would be left."""
        seen: set[str] = set()
        for code in weights if isinstance(weights, dict) else ():
            try:
                found = resolve(code).nllb
            except UnknownLanguage:
                continue  # Told where the codes are checked.
            if found in seen:
                raise Misfit(code, f"{found} stands there twice, perhaps under another code; keep one")
            seen.add(found)
        return weights

    @model_validator(mode="after")
    def _possible(self) -> Languages:
        if isinstance(self.weights, dict):
            if self.changed("codes") and set(self.codes) != set(self.weights):
                raise Misfit("codes", "`weights` names the languages already; take this key out")
            object.__setattr__(self, "codes", tuple(sorted(self.weights)))
        if self.changed("alpha") and self.weights != "proportional":
            raise Misfit("alpha", "has no effect without `weights: proportional`; take it out")
        try:
            self.policy().shares()
        except PolicyError as error:
            raise Misfit(error.key, str(error)) from error
        return self

    def policy(self) -> LanguagePolicy:
        """What decides on the languages of examples."""
        return LanguagePolicy(
            english_share=self.english_share,
            codes=self.codes,
            weights=self.weights,
            alpha=self.alpha,
            floor=self.floor,
            cap=self.cap,
            per_example=self.per_example,
            unit=self.unit,
        )
