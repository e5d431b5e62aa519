"""The recipe: one typed configuration of a mix, read from YAML and checked before any source is opened."""

from __future__ import annotations

import dataclasses
import difflib
import glob
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from pipelines.recipe_file import Key, RecipeError, RecipeFile, read_recipe_file, split
from translation.answers import AnswersError, read_answers
from translation.filters.policy import CALIBRATED, RANGES, Bound, Policy
from translation.filters.thresholds import ThresholdsError, load_thresholds
from translation.identification import CLD, OFFLINE, SHIPPED
from translation.languages import ENGLISH, default_languages, resolve
from translation.model import SMALL
from translation.translations import Decoding

__all__ = [
    "CocoSource",
    "Columns",
    "JsonlSource",
    "Languages",
    "ParquetSource",
    "Recipe",
    "RecipeError",
    "RecordSource",
    "Source",
    "load_recipe",
]

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


_Item = TypeVar("_Item")


class _Misfit(ValueError):
    """A value that does not fit another one of the same mapping; `key` says which."""

    def __init__(self, key: str, remedy: str) -> None:
        self.key = key
        super().__init__(remedy)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


def _known_language(code: str) -> str:
    language = resolve(code)
    if language.english:
        raise ValueError("English has its own share, `languages.english_share`; take it out of the codes")
    return language.nllb


def _distinct(codes: tuple[str, ...]) -> tuple[str, ...]:
    """Sorted, because the order in the recipe means nothing and must not change the digest."""
    twice = sorted({code for code in codes if codes.count(code) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there twice, perhaps under another code; keep one")
    return tuple(sorted(codes))


def _source_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise ValueError("row ids start with this name: 1 to 64 letters, digits, `.`, `_` or `-`, no `/`")
    return name


def _no_blank(text: str) -> str:
    if not text.strip() or "\0" in text:
        raise ValueError("must not be empty")
    return text


_JUDGES = MappingProxyType({"labse": "similarity", "metricx": "metricx", "comet_kiwi": "comet_kiwi"})
"""Kind of a trained judge to its score."""


def _check_bound(rule: str, side: str, value: Bound) -> None:
    """Raises _Misfit for a bound that passes or rejects everything."""
    least, most = RANGES[rule]
    if value == CALIBRATED:
        if getattr(getattr(Policy(), rule), side) != CALIBRATED:
            raise _Misfit(f"{rule}.{side}", "no bound was calibrated for this rule; give a number, or null")
    elif value is not None and not least <= value <= most:
        raise _Misfit(
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


def _not_empty(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """Not pydantic's `min_length`, which counts only the valid items and so reports each mistake twice."""
    if not items:
        raise ValueError("must have at least 1 item")
    return items


_Share = Annotated[float, Field(ge=0, le=1)]
_Filled = Annotated[str, AfterValidator(_no_blank)]


class Languages(_Model):
    """How examples are spread over languages: a share of English, the rest uniform over `codes`."""

    english_share: _Share = 0.5
    codes: Annotated[
        tuple[Annotated[str, AfterValidator(_known_language)], ...], AfterValidator(_distinct)
    ] = Field(default_factory=lambda: tuple(one.nllb for one in default_languages() if one.nllb != ENGLISH))
    """NLLB codes without English; the recipe may use any code that the registry knows."""

    @model_validator(mode="after")
    def _codes_for_the_rest(self) -> Languages:
        if not self.codes and self.english_share < 1:
            raise _Misfit("codes", "name at least one language, or set `english_share: 1`")
        return self


class Columns(_Model):
    """Names of the columns of a JSONL or Parquet source; a column that is not named has its default name."""

    id: _Filled | None = None
    """Default: the column `id` where a record has it, else file and position."""
    image: _Filled | None = None
    image_id: _Filled | None = None
    """Default: none; the id comes from the image itself, see `pipelines.images.image_id`."""
    caption: _Filled | None = None
    question: _Filled | None = None
    answer: _Filled | None = None
    conversation: _Filled | None = None


_DEFAULT_COLUMNS = {
    "id": "id",
    "image": "image",
    "caption": "caption",
    "question": "question",
    "answer": "answer",
    "conversation": "conversations",
}

_COLUMNS_OF_TASK = {
    "caption": ("caption",),
    "vqa": ("question", "answer"),
    "instruct": ("conversation", "question", "answer"),
}


class CocoSource(_Model):
    """COCO captions: the official `captions_*.json`, or Karpathy's `dataset_*.json`."""

    name: Annotated[str, AfterValidator(_source_name)]
    format: Literal["coco"]
    annotations: _Filled
    images: _Filled
    """Folder that the file names are relative to."""
    licence: _Filled | None = None
    """Of texts and pictures, in words; stands in the mix's card."""
    splits: (
        Annotated[tuple[Literal["train", "restval", "val", "test"], ...], AfterValidator(_not_empty)] | None
    ) = None
    """Karpathy's layout only: which images to read; `[train, restval]` is what papers train on."""

    @property
    def task(self) -> str:
        return "caption"


class _RecordSource(_Model):
    name: Annotated[str, AfterValidator(_source_name)]
    path: _Filled
    """A file or a glob."""
    images: _Filled | None = None
    """Folder that image paths are relative to; default: the folder of the data file."""
    licence: _Filled | None = None
    """Of texts and pictures, in words; stands in the mix's card."""
    task: Literal["caption", "vqa", "instruct"]
    prompt: Literal["translate", "keep"] = "translate"
    """`keep` leaves questions and instructions in English."""
    columns: Columns = Columns()

    @model_validator(mode="after")
    def _keys_of_the_task(self) -> _RecordSource:
        if self.task == "caption" and "prompt" in self.model_fields_set:
            raise _Misfit("prompt", "captions have no prompt of their own; take the key out")
        texts = {role for role in _DEFAULT_COLUMNS if role not in ("id", "image")}
        named = {role for role in texts if getattr(self.columns, role) is not None}
        for role in sorted(named - set(_COLUMNS_OF_TASK[self.task])):
            right = ", ".join(f"`{one}`" for one in _COLUMNS_OF_TASK[self.task])
            raise _Misfit(f"columns.{role}", f"`task: {self.task}` has no such text, it reads {right}")
        if "conversation" in named and len(named) > 1:
            raise _Misfit("columns.conversation", "name either `conversation`, or `question` and `answer`")
        return self

    def column(self, role: str) -> str:
        """The name of the column for a role: `id`, `image`, `caption`, `question`, ..."""
        named: str | None = getattr(self.columns, role)
        return named or _DEFAULT_COLUMNS[role]

    @property
    def in_turns(self) -> bool:
        """Whether a record is a conversation, not one question and answer."""
        return self.task == "instruct" and self.columns.question is None and self.columns.answer is None

    @property
    def text_roles(self) -> tuple[str, ...]:
        """The columns, by role, that every record must have."""
        if self.task == "instruct":
            return ("conversation",) if self.in_turns else ("question", "answer")
        return _COLUMNS_OF_TASK[self.task]


class JsonlSource(_RecordSource):
    """JSON lines: one object a line, UTF-8."""

    format: Literal["jsonl"]


class ParquetSource(_RecordSource):
    """Parquet files; the image is bytes, a struct of bytes and path, or a path."""

    format: Literal["parquet"]


RecordSource = JsonlSource | ParquetSource
Source = CocoSource | JsonlSource | ParquetSource

_SOURCES: Mapping[str, type[_Model]] = {"coco": CocoSource, "jsonl": JsonlSource, "parquet": ParquetSource}


class Answers(_Model):
    """How short answers to questions are translated: one entry per language and answer, see `answers.tsv`."""

    context: bool = True
    """Try each answer with its questions too, and take what comes back better."""
    file: _Filled | None = None
    """A reviewed `answers.tsv` of an earlier run; its entries are taken as they are."""


class Recipe(_Model):
    """Everything that decides what a mix holds. Load it with `load_recipe`."""

    name: Annotated[str, AfterValidator(_source_name)]
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 17
    model: _Filled = SMALL
    """`small`, or the directory of a converted model."""
    identification: _Filled = OFFLINE
    """`shipped`, `cld`, a fastText model file, or a hub name."""
    quality: Annotated[
        tuple[Annotated[str, AfterValidator(_judge)], ...], AfterValidator(_distinct_judges)
    ] = ()
    """Trained judges: `labse`, `metricx`, or `KIND:` and a directory or hub name (extra `quality`)."""
    thresholds: _Filled | None = None
    """A table that `translate-mix calibrate` wrote; default: the one that ships."""
    translation: Decoding = Decoding()
    languages: Languages = Languages()
    round_trip: Literal["none", "short", "all"] = "short"
    """Which texts are translated back into English."""
    answers: Answers = Answers()
    images: Literal["embed", "reference"] = "embed"
    max_image_pixels: Annotated[int, Field(ge=1, le=178_000_000)] = 40_000_000
    """Larger pictures are rejected before they are decoded; Pillow itself stops at 178,956,970."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Share of the images that is held out."""
    shard_megabytes: Annotated[int, Field(ge=1, le=500)] = 450
    """A Parquet file holds about this much at most; images of one row are never parted."""
    filters: Policy = Policy()
    """Bounds of the rules; what a recipe leaves out keeps its default, `min` and `max` each for itself."""
    sources: Annotated[
        tuple[Annotated[Source, Field(discriminator="format")], ...], AfterValidator(_not_empty)
    ]

    _written: RecipeFile = PrivateAttr(default_factory=RecipeFile)

    @field_validator("translation")
    @classmethod
    def _possible_decoding(cls, decoding: Decoding) -> Decoding:
        for key, least, most in (
            ("beam_size", 1, 64),
            ("length_penalty", -10, 10),
            ("repetition_penalty", 0.1, 100),
            ("no_repeat_ngram_size", 0, 64),
            # NLLB has 1,024 positions.
            ("max_input_tokens", 1, 1024),
            ("max_output_tokens", 1, 1024),
        ):
            if not least <= getattr(decoding, key) <= most:
                raise _Misfit(key, f"must be from {least} to {most}")
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
                raise _Misfit(rule.name, "`min` is larger than `max`, nothing would pass")
        return filters

    @model_validator(mode="after")
    def _judges_of_the_rules(self) -> Recipe:
        present = {_JUDGES[spec.partition(":")[0]] for spec in self.quality}
        for kind, score in _JUDGES.items():
            if score not in present and any(
                bound is not None for bound in vars(getattr(self.filters, score)).values()
            ):
                raise _Misfit(f"filters.{score}", f"no judge gives this score; add `quality: [{kind}]`")
        return self

    @model_validator(mode="after")
    def _distinct_sources(self) -> Recipe:
        names = [source.name for source in self.sources]
        for index, name in enumerate(names):
            if name in names[:index]:
                first = names.index(name)
                raise _Misfit(
                    f"sources.{index}.name", f"`sources.{first}` has this name too; row ids need another one"
                )
        return self

    @property
    def folder(self) -> Path:
        """The folder of the recipe file; relative paths start there."""
        return self._written.folder

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the configuration; paths count as written, not as they resolve."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()

    @property
    def model_directory(self) -> Path | None:
        """The converted model's, from the recipe's folder or else the working one; None for `small`."""
        if self.model == SMALL:
            return None
        here = Path(self.model).absolute()
        path = self.path(self.model)
        return here if here.is_dir() and not path.is_dir() else path

    @property
    def identification_file(self) -> Path | None:
        """The fastText file; None for `shipped`, `cld` and a hub name."""
        path = self.path(self.identification)
        return path if self.identification not in (SHIPPED, CLD) and path.is_file() else None

    @property
    def answers_file(self) -> Path | None:
        return None if self.answers.file is None else self.path(self.answers.file)

    @property
    def quality_specs(self) -> tuple[str, ...]:
        """`quality` with local directories as they are found from anywhere; hub names stay."""
        specs = []
        for spec in self.quality:
            kind, separator, place = spec.partition(":")
            found = self.path(place) if place else None
            specs.append(f"{kind}:{found}" if found and found.is_dir() else kind + separator + place)
        return tuple(specs)

    @property
    def thresholds_file(self) -> Path | None:
        return None if self.thresholds is None else self.path(self.thresholds)

    def path(self, written: str) -> Path:
        """A path of the recipe, as it is found from anywhere."""
        return (self.folder / Path(written).expanduser()).absolute()

    def source_files(self, index: int) -> list[Path]:
        """The files that the source number `index` reads, sorted; empty where nothing is there."""
        source = self.sources[index]
        written = self.path(source.annotations if isinstance(source, CocoSource) else source.path)
        if written.exists() or isinstance(source, CocoSource):
            return [written] if written.is_file() else []
        return [path for path in map(Path, sorted(glob.glob(str(written), recursive=True))) if path.is_file()]

    def error(self, key: Key, remedy: str) -> RecipeError:
        """An error about the value at `key`, with the file and line where that stands."""
        return self._written.error(key, remedy)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Reads and checks a recipe; each override is `dotted.key=value` with the value in YAML.

    Raises:
        RecipeError: anything is wrong with it, or a file or folder that it names is missing.
    """
    written = read_recipe_file(path, overrides)
    try:
        recipe = checked_recipe(written)
    except TypeError as error:
        remedy = f"holds a YAML tag that recipes do not use ({error})"
        raise RecipeError(str(path), None, "", None, remedy) from error
    _check_files(recipe)
    return recipe


def checked_recipe(written: RecipeFile) -> Recipe:
    """The recipe of values that were read, checked but for the files that it names.

    Raises:
        RecipeError: a key or value is wrong.
        TypeError: a value is of no type that JSON has.
    """
    # Strict JSON: "4" is no number and `true` no 1, but lists may become tuples.
    values = json.dumps(_with_default_thresholds(written.values))
    try:
        recipe = Recipe.model_validate_json(values, strict=True)
    except ValidationError as error:
        raise _first_error(written, error.errors(include_url=False)) from error
    recipe._written = written
    return recipe


def _with_default_thresholds(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """The recipe with the defaults of `filters` filled in, so that one bound of a rule can be set alone."""
    filters = raw.get("filters")
    if not isinstance(filters, dict):
        return raw
    defaults = dataclasses.asdict(Policy())
    filled = {
        rule: {**defaults[rule], **bounds} if rule in defaults and isinstance(bounds, dict) else bounds
        for rule, bounds in filters.items()
    }
    return {**raw, "filters": filled}


def _check_files(recipe: Recipe) -> None:
    """Everything on disk that the recipe names is there."""
    if recipe.model_directory is not None and not recipe.model_directory.is_dir():
        remedy = "name the directory that `translate-mix model add` printed, or `small`"
        raise recipe.error(("model",), f"no directory {recipe.model_directory}; {remedy}")
    if (
        recipe.identification not in (SHIPPED, CLD)
        and recipe.identification_file is None
        and not _HUB_NAME.fullmatch(recipe.identification)
    ):
        missing = recipe.path(recipe.identification)
        remedy = "else `shipped`, `cld` or a hub name `owner/model`"
        raise recipe.error(("identification",), f"no file {missing}; {remedy}")
    if recipe.thresholds_file is not None:
        try:
            load_thresholds(recipe.thresholds_file)
        except ThresholdsError as error:
            remedy = f"{error}; name a table that `translate-mix calibrate` wrote"
            raise recipe.error(("thresholds",), remedy) from error
    if recipe.answers_file is not None:
        try:
            read_answers(recipe.answers_file)
        except AnswersError as error:
            raise recipe.error(("answers", "file"), str(error)) from error
    for index, source in enumerate(recipe.sources):
        key = "annotations" if isinstance(source, CocoSource) else "path"
        if not recipe.source_files(index):
            written = recipe.path(getattr(source, key))
            if written.is_dir():
                remedy = f"{written} is a folder; name a file" + (
                    "" if key == "annotations" else " or a glob in it"
                )
            else:
                remedy = f"no file {written}; relative paths start at the recipe's folder"
            raise recipe.error(("sources", index, key), remedy)
        if source.images is not None and not recipe.path(source.images).is_dir():
            remedy = f"no folder {recipe.path(source.images)}; relative paths start at the recipe's folder"
            raise recipe.error(("sources", index, "images"), remedy)


def _first_error(written: RecipeFile, details: Sequence[ErrorDetails]) -> RecipeError:
    """The error that stands first in the file, and how many more there are."""
    # A bound is of several types, each with an error of its own.
    errors = list({error.key: error for error in (_error(written, detail) for detail in details)}.values())
    first = min(errors, key=lambda error: (error.line is None, error.line or 0))
    if len(errors) == 1:
        return first
    more = f"{first.remedy} (and {len(errors) - 1} more)"
    return RecipeError(first.file, first.line, first.key, first.value, more)


def _error(written: RecipeFile, detail: ErrorDetails) -> RecipeError:
    key = _without_tag(detail["loc"])
    if "filters" in key and str(key[-1]).startswith(("float", "literal[")):
        return written.error(key[:-1], "must be a number, `calibrated`, or null to switch the rule off")
    kind, context = detail["type"], detail.get("ctx", {})
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        return written.error(key, _unknown(str(key[-1]), _valid_keys(detail["loc"][:-1])), show=False)
    if kind in ("missing", "missing_argument"):
        return written.error(key, "this key is missing", show=False)
    if kind == "union_tag_not_found":
        return written.error(
            (*key, "format"), f"this key is missing; one of {', '.join(_SOURCES)}", show=False
        )
    if kind == "union_tag_invalid":
        return written.error((*key, "format"), _unknown(str(context["tag"]), _SOURCES, "format"))
    cause = context.get("error")
    if isinstance(cause, _Misfit):
        return written.error((*key, *split(cause.key)), str(cause))
    if isinstance(cause, ValueError):
        return written.error(key, str(cause))
    return written.error(key, _remedy(kind, detail["msg"], context))


def _unknown(found: str, valid: Iterable[str], what: str = "key") -> str:
    valid = list(valid)
    near = difflib.get_close_matches(found, valid, n=1, cutoff=0.5)
    meant = f"; did you mean `{near[0]}`?" if near else ""
    return (
        f"unknown {what}{meant} Valid: {', '.join(valid)}"
        if meant
        else f"unknown {what}; valid: {', '.join(valid)}"
    )


def _valid_keys(location: tuple[int | str, ...]) -> list[str]:
    """The keys of the mapping at an error's location, where that has fixed ones."""
    kind: Any = Recipe
    for step in location:
        if isinstance(step, int):
            continue
        if step in _SOURCES and kind is Source:
            kind = _SOURCES[step]
        else:
            kind = Source if step == "sources" else _types_of_keys(kind)[step]
    return list(_types_of_keys(kind))


def _types_of_keys(kind: Any) -> Mapping[str, Any]:
    if dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return {one.name: hints[one.name] for one in dataclasses.fields(kind)}
    return {name: one.annotation for name, one in kind.model_fields.items()}


def _remedy(kind: str, message: str, context: Mapping[str, Any]) -> str:
    """What would be right, from pydantic's own words."""
    if kind == "literal_error":
        return f"must be one of {str(context['expected']).replace(' or ', ', ')}"
    if kind in ("model_type", "dataclass_type", "model_attributes_type"):
        return "must be a mapping of keys"
    if kind == "tuple_type":
        return "must be a list"
    return (
        message.replace("Input should be", "must be")
        .replace("a valid integer", "a whole number")
        .replace("a valid ", "a ")
    )


def _without_tag(location: tuple[int | str, ...]) -> Key:
    """pydantic puts the source's format after its index; the recipe does not."""
    if len(location) > 2 and location[0] == "sources" and location[2] in _SOURCES:
        return (*location[:2], *location[3:])
    return location
