"""`translate-mix report`: a finished mix as one page to look at, without any network."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256

from rich.console import Console

from pipelines.filesystem import exists, join, open_binary, read_text, write_text
from pipelines.manifest import Manifest, read_manifest
from pipelines.mix_files import ShardFile
from pipelines.recipe import Recipe, SettingsError, checked_recipe
from pipelines.report.bounds import bounds_of
from pipelines.report.cards import Card, card
from pipelines.report.content import make_content, read_by_source
from pipelines.report.gallery import Gallery
from pipelines.report.page import page
from pipelines.report.planned import planned_rows
from pipelines.report.samples import Sample, read_samples
from pipelines.report.tallies import DamagedMix, Tally, tally_file
from translation.mix_folder import MANIFEST, REPORT
from translation.progress import CountProgress
from translation.settings_file import override_values

__all__ = ["SAMPLES", "DamagedMix", "is_outdated", "write_report"]

SAMPLES = 6
"""Accepted rows of each language that are shown, and as many rejected ones."""

_MARK = re.compile(rb'<meta name="translate-mix-manifest" content="([0-9a-f]{64})">')
_HEAD = 4096
"""Bytes of a report that hold the mark."""


def write_report(
    directory: str,
    *,
    samples: int = SAMPLES,
    output: str | None = None,
    console: Console,
    quiet: bool = False,
) -> str:
    """Writes a report on a finished mix and returns its path; the same mix gives the same bytes.

    Args:
        samples: accepted rows of each language that are shown, and rejected ones.
        output: the file; default: `report.html` in the mix.

    Raises:
        ValueError: no finished mix.
        DamagedMix: a file of it is missing or damaged.
        OutputError: the report cannot be written.
    """
    manifest = read_manifest(directory)
    digest = _digest(directory)
    recipe = _recipe(manifest, directory)
    with CountProgress("report", manifest.accepted + manifest.rejected, console, quiet) as progress:
        tallies: dict[str, Tally] = {}
        for file in sorted(manifest.files, key=lambda file: file.path):
            tally = tally_file(directory, file, progress.advance)
            tallies.setdefault(file.language, Tally()).include(tally)
    cards, left_out = _cards(directory, manifest, recipe, samples)
    content = make_content(
        manifest,
        digest,
        tallies,
        cards,
        None if recipe is None else bounds_of(directory, manifest, recipe),
        None if recipe is None else planned_rows(recipe, read_by_source(tallies)),
        left_out,
    )
    path = join(directory, REPORT) if output is None else output
    write_text(path, page(content), within=directory if output is None else None)
    return path


def is_outdated(directory: str) -> bool:
    """Whether the `report.html` of a mix was made from another manifest; not where there is none."""
    path = join(directory, REPORT)
    if not exists(path):
        return False
    with open_binary(path) as file:
        mark = _MARK.search(file.read(_HEAD))
    return mark is None or mark[1].decode("ascii") != _digest(directory)


def _digest(directory: str) -> str:
    return sha256(read_text(join(directory, MANIFEST)).encode()).hexdigest()


def _recipe(manifest: Manifest, directory: str) -> Recipe | None:
    """The recipe of a mix; None if another version wrote it, and this one does not understand it."""
    try:
        return checked_recipe(override_values(manifest.recipe, join(directory, MANIFEST), ()))
    except SettingsError:
        return None


def _cards(
    directory: str, manifest: Manifest, recipe: Recipe | None, samples: int
) -> tuple[dict[tuple[str, bool], list[Card]], int]:
    """By language and verdict the rows that are shown, and how many of their pictures did not fit."""
    files: dict[tuple[str, bool], list[ShardFile]] = {}
    rows: Counter[tuple[str, bool]] = Counter()
    for file in sorted(manifest.files, key=lambda file: file.path):
        files.setdefault((file.language, file.accepted), []).append(file)
        rows[file.language, file.accepted] += file.rows
    pixels = Recipe.model_fields["max_image_pixels"].default if recipe is None else recipe.max_image_pixels
    gallery = Gallery(directory, manifest, pixels, sum(min(samples, number) for number in rows.values()))
    cards: dict[tuple[str, bool], list[Card]] = {}
    waiting: dict[tuple[str, bool], list[Sample]] = {}
    for key, of_key in files.items():
        found = read_samples(directory, of_key, samples)
        if gallery.shared:
            waiting[key] = found
        else:
            # At once, for the pictures of all samples would be too much to hold.
            cards[key] = [card(one, gallery.show) for one in found]
    if waiting:
        gallery.look_up(picture for found in waiting.values() for one in found for picture in one.pictures)
        cards = {key: [card(one, gallery.show) for one in found] for key, found in waiting.items()}
    return cards, gallery.left_out
