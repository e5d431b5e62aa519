"""What share of a mix each language was to have, by the recipe in its manifest."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from pipelines.recipe import Recipe
from pipelines.recipe_sources import Nlvr2Source, Source
from translation.row import UNDETERMINED


def planned_rows(recipe: Recipe, sources: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    """NLLB code -> rows that the language policy gives it, of those that were read.

    Args:
        sources: source -> language -> rows that were read.
    """
    policies = {source.name: source for source in recipe.sources}
    planned: defaultdict[str, float] = defaultdict(float)
    for name, read in sources.items():
        known = {code: rows for code, rows in read.items() if code != UNDETERMINED}
        source = policies.get(name)
        if source is None or _is_given(source):
            part: Mapping[str, float] = known
        else:
            shares = (source.languages or recipe.languages).policy().shares()
            part = {code: share * sum(known.values()) for code, share in shares.items()}
        for code, rows in part.items():
            planned[code] += rows
    return dict(planned)


def _is_given(source: Source) -> bool:
    """Whether something else than the policy decides on the language of rows.

    That is the texts' own language, or a share of answers that stay English.
    """
    # MaRVL says in its paths what it is written in.
    by_records = isinstance(source, Nlvr2Source)
    return by_records or source.stays_in_own_language or source.english_answers > 0
