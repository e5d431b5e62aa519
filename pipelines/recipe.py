"""The recipe: one typed configuration of a mix, read from YAML and checked before any source is opened."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator

from pipelines import inputs
from pipelines.recipe_errors import RECIPE
from pipelines.recipe_languages import Languages
from pipelines.recipe_sources import Source
from pipelines.recipe_values import Name, Place, places_of
from translation.answers import AnswersError, read_answers
from translation.filters.policy import CALIBRATED, RANGES, Bound, Policy
from translation.filters.thresholds import ThresholdsError, load_thresholds
from translation.identification import CLD, OFFLINE, SHIPPED
from translation.model import SMALL, model_directory
from translation.settings import Filled, Misfit, Section, Share, checked, not_empty
from translation.settings_file import (
    Key,
    SettingsError,
    SettingsFile,
    read_settings_file,
    settings_of,
    unreadable,
)
from translation.shipped_settings import read_named_settings
from translation.translations import Decoding

__all__ = ["Recipe", "SettingsError", "checked_recipe", "load_recipe"]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

_JUDGES = MappingProxyType({"labse": "similarity", "metricx": "metricx", "comet_kiwi": "comet_kiwi"})
"""Kind of a trained judge to its score."""


def _check_bound(rule: str, side: str, value: Bound) -> None:
    """Raises Misfit for a bound that passes or rejects everything."""
    least, most = RANGES[rule]
    if value == CALIBRATED:
        if getattr(getattr(Policy(), rule), side) != CALIBRATED:
            raise Misfit(f"{rule}.{side}", "no bound was calibrated for this rule; give a number, or null")
    elif value is not None and not least <= value <= most:
        raise Misfit(
            f"{rule}.{side}", f"must be from {least:g} to {most:g}, for that is what the score can be"
        )


def _judge(spec: str) -> str:
    kind, separator, place = spec.partition(":")
    if kind not in _JUDGES or (separator and not place) or (kind == "comet_kiwi" and not place):
        raise ValueError(
            "`labse`, `metricx`, `labse:PLACE`, `metricx:PLACE` or `comet_kiwi:DIRECTORY` is wanted"
        )
    return spec


def _distinct_judges(specs: tuple[str, ...]) -> tuple[str, ...]:
    kinds = [spec.partition(":")[0] for spec in specs]
    if len(set(kinds)) < len(kinds):
        raise ValueError("each kind of judge has one score column, so it can stand there once")
    return specs


class Answers(Section):
    """How short answers to questions are translated: one entry per language and answer, see `answers.tsv`."""

    context: bool = True
    """Try each answer with its questions too, and take what comes back better (if `round_trip` is not
    `none`)."""
    file: Filled | None = None
    """A reviewed `answers.tsv` of an earlier run; its entries are taken as they are."""


class Templates(Section):
    """Which wordings prompts have."""

    translated: Share = 0.5
    """Share of the prompts that are worded in the target's language, where that has such templates and the
    text in them is in that language too."""


class Deduplicate(Section):
    """What counts as the same picture, and as the same row."""

    rows: bool = True
    """Reject examples with the picture, task, prompt and target of another one, whose id sorts first."""
    images: Literal["none", "exact", "near"] = "exact"
    """Pictures under two ids that are one for the split and for `rows`: none, equal bytes, or alike (extra
    `dedup`)."""
    distance: Annotated[int, Field(ge=0, le=8)] = 4
    """`near` only: bits of the 64 of a perceptual hash that may differ."""

    @model_validator(mode="after")
    def _distance_of_near(self) -> Deduplicate:
        if self.changed("distance") and self.images != "near":
            raise Misfit("distance", "has no effect without `images: near`; take it out")
        return self


class Download(Section):
    """How pictures are downloaded: one at a time from each host, with pauses, and as `robots.txt` allows."""

    cache: Filled
    """Folder, no URL, that keeps downloaded pictures for this and later runs; relative to the recipe."""
    per_host_delay: Annotated[float, Field(ge=0.1, le=3600)] = 1.0
    """Seconds between two requests to one host."""
    timeout: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds that a host may take to answer."""
    retries: Annotated[int, Field(ge=0, le=10)] = 2
    """Further tries after a failure that may pass (429, 5xx, no connection)."""
    private_addresses: bool = False
    """Allow hosts of this machine and its local network, such as a mirror of your own."""
    user_agent: Filled = "translate-mix"
    """What hosts are told; name yourself and a way to reach you."""


class Recipe(Section):
    """Everything that decides what a mix holds. Load it with `load_recipe`."""

    name: Name
    """The first thing that the mix's card shows."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 17
    """The same seed and sources give the same mix, byte for byte."""
    root: Filled | None = None
    """Folder that the paths of the sources start at; default: the recipe's own. From the working directory
    where `--set` names it. No part of the digest."""
    model: Filled = SMALL
    """`small`, or the directory of a converted model."""
    identification: Filled = OFFLINE
    """`shipped`, `cld`, a fastText model file, or a hub name."""
    quality: Annotated[
        tuple[Annotated[str, AfterValidator(_judge)], ...], AfterValidator(_distinct_judges)
    ] = ()
    """Trained judges: `labse`, `metricx`, or `KIND:` and a directory or hub name (extra `quality`)."""
    thresholds: Filled | None = None
    """A table that `translate-mix calibrate` wrote; default: the one that ships."""
    translation: Decoding = Decoding()
    """How the model searches for a translation, and where it stops."""
    shortlists: bool = True
    """Use the model's vocabulary shortlists, if it has any (`translate-mix model shortlist`)."""
    languages: Languages = Languages()
    """How examples are spread over languages."""
    templates: Templates = Templates()
    """Which wordings prompts have."""
    round_trip: Literal["none", "short", "all"] = "short"
    """Which texts are translated back into English."""
    answers: Answers = Answers()
    """How short answers are translated."""
    deduplicate: Deduplicate = Deduplicate()
    """What counts as the same picture, and as the same row."""
    download: Download | None = None
    """Set it to allow the download of pictures that a source names by URL."""
    images: Literal["embed", "shared", "reference"] = "embed"
    """`embed` stores pictures in the rows, `shared` once for all rows under `images/`, `reference` only their
    paths."""
    max_image_pixels: Annotated[int, Field(ge=1, le=178_000_000)] = 40_000_000
    """Larger pictures are rejected before they are decoded; Pillow itself stops at 178,956,970."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of the images that is held out."""
    shard_megabytes: Annotated[int, Field(ge=1, le=500)] = 450
    """A Parquet file holds about this much at most. With `images: embed` all rows that show a picture are in
    one file, however large that gets; `shared` stores it once."""
    filters: Policy = Policy()
    """Bounds of the rules; what a recipe leaves out keeps its default, `min` and `max` each for itself."""
    sources: Annotated[
        tuple[Annotated[Source, Field(discriminator="format")], ...], AfterValidator(not_empty)
    ]
    """Where the data is, and what is made of it."""

    _written: SettingsFile = PrivateAttr(default_factory=SettingsFile)
    _far_away: str | None = PrivateAttr(default=None)
    """URL of the folder of a recipe that is not on this machine."""

    @field_validator("translation")
    @classmethod
    def _possible_decoding(cls, decoding: Decoding) -> Decoding:
        for key, least, most in (
            ("beam_size", 1, 64),
            ("patience", 0.5, 10),
            ("length_penalty", -10, 10),
            ("repetition_penalty", 0.1, 100),
            ("no_repeat_ngram_size", 0, 64),
            # NLLB has 1,024 positions.
            ("max_input_tokens", 1, 1024),
            ("max_output_tokens", 1, 1024),
            ("second_tries", 0, 2),
        ):
            if not least <= getattr(decoding, key) <= most:
                raise Misfit(key, f"must be from {least} to {most}")
        return decoding

    @field_validator("filters")
    @classmethod
    def _possible_thresholds(cls, filters: Policy) -> Policy:
        for rule in dataclasses.fields(filters):
            bounds = getattr(filters, rule.name)
            for side, value in vars(bounds).items():
                _check_bound(rule.name, side, value)
            least, most = getattr(bounds, "min", None), getattr(bounds, "max", None)
            if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
                raise Misfit(rule.name, "`min` is larger than `max`, nothing would pass")
        return filters

    @model_validator(mode="after")
    def _judges_of_the_rules(self) -> Recipe:
        present = {_JUDGES[spec.partition(":")[0]] for spec in self.quality}
        for kind, score in _JUDGES.items():
            if score not in present and any(
                bound is not None for bound in vars(getattr(self.filters, score)).values()
            ):
                raise Misfit(f"filters.{score}", f"no judge gives this score; add `quality: [{kind}]`")
        return self

    @model_validator(mode="after")
    def _distinct_sources(self) -> Recipe:
        names = [source.name for source in self.sources]
        for index, name in enumerate(names):
            if name in names[:index]:
                first = names.index(name)
                raise Misfit(
                    f"sources.{index}.name", f"`sources.{first}` has this name too; row ids need another one"
                )
        return self

    @property
    def folder(self) -> str:
        """The folder of the recipe file, or its URL; relative paths start there."""
        return self._far_away or str(self._written.folder.absolute())

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the configuration; paths count as written, not as they resolve."""
        values = self.model_dump(mode="json", exclude={"root"})
        content = json.dumps(values, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def model_directory(self) -> str:
        """The converted model's, or its URL; from the recipe's folder or else the working one."""
        if self.model == SMALL:
            return str(model_directory(SMALL))
        place, here = self.path(self.model), _from_here(self.model)
        return here if not inputs.is_url(here) and inputs.is_dir(here) and not inputs.is_dir(place) else place

    @property
    def identification_file(self) -> str | None:
        """The fastText file, or its URL; None for `shipped`, `cld` and a hub name."""
        if self.identification in (SHIPPED, CLD):
            return None
        place = self.path(self.identification)
        return place if inputs.is_file(place) else None

    @property
    def answers_file(self) -> str | None:
        """Its path or URL; from the recipe's folder or else the working one."""
        return None if self.answers.file is None else self._file(self.answers.file)

    @property
    def quality_specs(self) -> tuple[str, ...]:
        """`quality` with directories as they are found from anywhere, or their URLs; hub names stay."""
        specs = []
        for spec in self.quality:
            kind, separator, written = spec.partition(":")
            found = self.path(written) if written else None
            is_there = found is not None and inputs.is_dir(found)
            specs.append(f"{kind}:{found}" if is_there else kind + separator + written)
        return tuple(specs)

    @property
    def thresholds_file(self) -> str | None:
        """Its path or URL; from the recipe's folder or else the working one."""
        return None if self.thresholds is None else self._file(self.thresholds)

    def path(self, written: str) -> str:
        """A path of the recipe as a place: an absolute path or a URL."""
        return inputs.place_in(self.folder, written)

    def _file(self, written: str) -> str:
        # What `translate-mix calibrate` wrote is where that was typed, as is what `--set` names.
        place, here = self.path(written), _from_here(written)
        is_here = not inputs.is_url(here) and inputs.is_file(here) and not inputs.is_file(place)
        return here if is_here else place

    def source_path(self, written: str) -> str:
        """A path of a source as a place; it starts at `root`."""
        return inputs.place_in(self.folder if self.root is None else self.path(self.root), written)

    def source_files(self, index: int) -> list[str]:
        """The files that a source, by its number, reads piece by piece, sorted; none if nothing is there."""
        source = self.sources[index]
        return self.files(getattr(source, source.main))

    def files(self, written: str) -> list[str]:
        """The files of a source's path or glob, sorted; `{language}` stands for any text."""
        place = self.source_path(written)
        if inputs.is_file(place):
            return [place]
        if inputs.is_dir(place):
            return []
        return inputs.matching(place.replace("{language}", "*"))

    def error(self, key: Key, remedy: str) -> SettingsError:
        """An error about the value at `key`, with the file and line where that stands."""
        return self._written.error(key, remedy)


def _from_here(written: str) -> str:
    """A place as it is written on a command line: from the working directory."""
    return inputs.place_in(str(Path().absolute()), written)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads and checks a recipe; each override is `dotted.key=value` with the value in YAML.

    Args:
        path: a URL too, of a filesystem that Beam knows, or the name of a recipe that ships (`gqa`), whose
            paths start at the working directory; a `Path` is one of this machine.

    Raises:
        SettingsError: anything is wrong with it, or a file or folder that it names is missing.
    """
    if isinstance(path, str) and inputs.is_url(path):
        recipe = _recipe_far_away(path, overrides)
    else:
        if isinstance(path, Path):
            written = read_settings_file(path, overrides)
        else:
            written = read_named_settings(path, shipped_recipes(), "recipe", overrides)
        recipe = checked_recipe(written)
        if recipe.root is not None and ("root",) in recipe._written.overridden:
            # What is typed starts at the working directory, as on any command line.
            recipe = recipe.model_copy(update={"root": inputs.place_in(str(Path.cwd()), recipe.root)})
    _check_files(recipe)
    return recipe


def _recipe_far_away(url: str, overrides: Sequence[str]) -> Recipe:
    try:
        content = inputs.read_bytes(url)
    except OSError as error:
        raise unreadable(url, error) from error
    recipe = checked_recipe(settings_of(content, url, Path(), overrides))
    recipe._far_away = inputs.parent(inputs.place_in("", url))
    return recipe


def checked_recipe(written: SettingsFile) -> Recipe:
    """The recipe of values that were read, checked but for the files that it names.

    Raises:
        SettingsError: a key or value is wrong.
    """
    values = _with_inherited_languages(_with_default_thresholds(written.values))
    recipe = checked(Recipe, written, RECIPE, values)
    recipe._written = written
    return recipe


def _with_default_thresholds(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The recipe with the defaults of `filters` filled in, so that one bound of a rule can be set alone."""
    filters = raw.get("filters")
    if not isinstance(filters, dict):
        return raw
    defaults = dataclasses.asdict(Policy())
    filled = dict(filters)
    for rule, bounds in filters.items():
        if rule in defaults and isinstance(bounds, dict):
            filled[rule] = {**defaults[rule], **bounds}
        elif rule in defaults and bounds is None:
            # `lid: null` switches the rule off, as does `lid: {min: null}`.
            filled[rule] = dict.fromkeys(defaults[rule])
    return {**raw, "filters": filled}


def _with_inherited_languages(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The recipe with the keys that a source's own `languages` leaves out filled in from the recipe's."""
    common, sources = raw.get("languages"), raw.get("sources")
    if not isinstance(common, dict) or not isinstance(sources, list):
        return raw

    def inherited(own: Mapping[str, Any]) -> dict[str, Any]:
        # A list of codes and weights by language say the same thing: the source's own word counts.
        dropped = set()
        if "codes" in own or isinstance(own.get("weights"), dict):
            dropped.add("codes")
            if isinstance(common.get("weights"), dict):
                dropped.add("weights")
        weights = own.get("weights", None if "weights" in dropped else common.get("weights"))
        if weights != "proportional":
            dropped.add("alpha")
        if isinstance(own.get("weights"), str) and isinstance(common.get("weights"), dict):
            own = {"codes": list(common["weights"]), **own}
        return {key: value for key, value in common.items() if key not in dropped} | dict(own)

    filled = [
        {**source, "languages": inherited(source["languages"])}
        if isinstance(source, dict) and isinstance(source.get("languages"), dict)
        else source
        for source in sources
    ]
    return {**raw, "sources": filled}


@contextmanager
def _within_reach(recipe: Recipe, key: Key) -> Iterator[None]:
    """Within, what a filesystem far away says against the place at `key` is a `SettingsError`."""
    try:
        yield
    except OSError as error:
        raise recipe.error(key, f"{error.filename}: {error.strerror}") from error


def _on_this_machine(recipe: Recipe, key: Key, place: str) -> Path:
    """A file as it is here, fetched where it is far away. Raises `SettingsError` where that fails."""
    if not inputs.is_url(place):
        return Path(place)
    # Here, because it takes Beam along, which a recipe of this machine need not wait for.
    from pipelines.staging import StagingError, staged

    try:
        return staged(place)
    except StagingError as error:
        raise recipe.error(key, str(error)) from error


def _check_files(recipe: Recipe) -> None:
    """Everything on disk, or far away, that the recipe names is there."""
    _check_models(recipe)
    _check_tables(recipe)
    _check_folders(recipe)
    for index in range(len(recipe.sources)):
        _check_source(recipe, index)


def _check_models(recipe: Recipe) -> None:
    with _within_reach(recipe, ("model",)):
        if not inputs.is_dir(recipe.model_directory):
            remedy = "name the directory that `translate-mix model add` printed, or `small`"
            places = dict.fromkeys((recipe.path(recipe.model), _from_here(recipe.model)))
            raise recipe.error(("model",), f"no directory {' or '.join(places)}; {remedy}")
    with _within_reach(recipe, ("identification",)):
        if (
            recipe.identification not in (SHIPPED, CLD)
            and recipe.identification_file is None
            and not _HUB_NAME.fullmatch(recipe.identification)
        ):
            missing = recipe.path(recipe.identification)
            remedy = "else `shipped`, `cld` or a hub name `owner/model`"
            raise recipe.error(("identification",), f"no file {missing}; {remedy}")
    for index, spec in enumerate(recipe.quality):
        written = spec.partition(":")[2]
        with _within_reach(recipe, ("quality", index)):
            if inputs.is_url(written) and not inputs.is_dir(recipe.path(written)):
                raise recipe.error(("quality", index), f"no directory {written}")


def _check_tables(recipe: Recipe) -> None:
    if recipe.thresholds_file is not None:
        try:
            load_thresholds(_on_this_machine(recipe, ("thresholds",), recipe.thresholds_file))
        except ThresholdsError as error:
            remedy = f"{error}; name a table that `translate-mix calibrate` wrote"
            raise recipe.error(("thresholds",), remedy) from error
    if recipe.answers_file is not None:
        try:
            read_answers(_on_this_machine(recipe, ("answers", "file"), recipe.answers_file))
        except AnswersError as error:
            raise recipe.error(("answers", "file"), str(error)) from error


def _check_folders(recipe: Recipe) -> None:
    if recipe.root is not None:
        with _within_reach(recipe, ("root",)):
            if not inputs.is_dir(recipe.path(recipe.root)):
                remedy = (
                    f"no folder {recipe.path(recipe.root)}; the data sets are elsewhere: --set root=FOLDER"
                )
                raise recipe.error(("root",), remedy)
    if recipe.download is not None and inputs.is_url(recipe.path(recipe.download.cache)):
        remedy = "downloads take turns by locks, which a store has none of; name a folder of this machine, or"
        raise recipe.error(("download", "cache"), f"{remedy} one that all workers mount (`/mnt/...`)")


def _check_source(recipe: Recipe, index: int) -> None:
    source = recipe.sources[index]
    if source.reads_urls and recipe.download is None:
        remedy = "its pictures are URLs; allow their download with `download: {cache: FOLDER}`"
        raise recipe.error(("sources", index), remedy)
    for key, place in places_of(type(source)).items():
        written = getattr(source, key)
        if written is not None:
            with _within_reach(recipe, ("sources", index, key)):
                _check_place(recipe, ("sources", index, key), place, written)
    images = getattr(source, "images", None)
    with _within_reach(recipe, ("sources", index, "images")):
        archived = images is not None and not inputs.is_dir(recipe.source_path(images))
    if recipe.images == "reference" and (archived or source.reads_urls or source.format == "webdataset"):
        raise no_paths(recipe, source)


def no_paths(recipe: Recipe, source: Source) -> SettingsError:
    """The error of a mix that refers to pictures by path, where a source's pictures have none."""
    what = f"the pictures of `{source.name}` are no files that a path could name"
    return recipe.error(("images",), f"{what}; take `embed`, or `shared`")


def _check_place(recipe: Recipe, key: Key, place: Place, written: str) -> None:
    """What a source names is there."""
    path = recipe.source_path(written)
    start = "relative paths start at the recipe's folder" if recipe.root is None else "paths start at `root`"
    if place.kind == "pictures":
        if not inputs.is_dir(path) and not recipe.files(written):
            raise recipe.error(key, f"no folder or archive {path}; {start}")
    elif not recipe.files(written):
        if inputs.is_dir(path):
            globs = "" if place.kind == "file" else " or a glob in it"
            raise recipe.error(key, f"{path} is a folder; name a file{globs}")
        raise recipe.error(key, f"no file {path}; {start}")
    elif place.kind == "file" and not inputs.is_file(path):
        raise recipe.error(key, f"{path} is a glob; name one file")


def shipped_recipes() -> dict[str, Path]:
    """Name -> file of the recipes in the package; the sample, whose data is there too, needs no name."""
    folder = sample_recipe().parent
    return {path.stem: path for path in sorted(folder.glob("*.yaml")) if path != sample_recipe()}


def sample_recipe() -> Path:
    """The recipe of the sample that ships."""
    return Path(str(files("recipes").joinpath("sample.yaml")))
