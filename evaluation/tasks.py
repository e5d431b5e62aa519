"""Evaluation tasks: YAML files that say what is asked, of which official files, and how it is scored.

A task of the package is named by its name alone (`xgqa`), any other by its file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from evaluation.metrics import metrics_of
from training.asking import Generation
from translation.languages import ENGLISH, Language, UnknownLanguage, languages, resolve
from translation.settings import Filled, LanguageCode, Misfit, Section, checked, distinct, not_empty
from translation.settings_file import Key, SettingsError, SettingsFile, dotted, read_settings_file
from translation.templates import SLOTS, TARGET_LANGUAGE, Template, template

Format = Literal["records", "vqav2", "nlvr2", "maxm", "xm3600", "captions", "babel_imagenet", "mix"]

EACH = "each"
"""Key of `expected` for the languages that have no number of their own."""

PLACEHOLDER = re.compile(r"\{(\w+)(?::0(\d)d|:0(1\d)d)?\}")
"""Of names of pictures: `{image}`, or `{image_id:012d}` with zeros in front."""


class Fields(Section):
    """Which keys of a record hold what."""

    id: Filled = "id"
    """Unique in its file; of an object of records, its key there."""
    text: Filled | None = None
    """What stands in the prompt."""
    answers: Filled = "answers"
    """Gold answer or captions, or a list of them."""
    choices: Filled | None = None
    """List of the answers to choose from."""
    language: Filled | None = None
    """Code of the record's language, where one file holds several."""
    unit: Filled | None = None
    """What is resampled together; default: the item's first picture."""


class Pictures(Section):
    """Where the pictures are."""

    path: tuple[Filled, ...]
    """Folders, zip, tar or Parquet files, or globs of them; a picture is the first that one of them has."""
    names: tuple[Filled, ...] = ()
    """The name of each picture of an item, made of a record's values: `COCO_val2014_{image_id:012d}.jpg`."""
    layouts: tuple[str, ...] = ("",)
    """What may stand before a name, tried in turn; `{code}` is the language as the files spell it."""

    @field_validator("path")
    @classmethod
    def _some(cls, path: tuple[str, ...]) -> tuple[str, ...]:
        return not_empty(path)


class Search(Section):
    """How answers are generated."""

    beams: Annotated[int, Field(ge=1)] = 5
    max_new_tokens: Annotated[int, Field(ge=1)] = 50
    length_penalty: float = 1.0
    repetition_penalty: Annotated[float, Field(gt=0)] = 1.0
    no_repeat_ngram: Annotated[int, Field(ge=0)] = 0

    def settings(self) -> Generation:
        return Generation(**self.model_dump())


class Task(Section):
    """What is asked, of which files, and how the answers are scored."""

    name: Filled
    format: Format
    """The shape of the files."""
    root: Filled | None = None
    """Folder that paths start at; default: the task's own."""
    files: Filled
    """Official files: a path or glob, in which `{code}` is the language as the files spell it."""
    annotations: Filled | None = None
    """The file of the answers, where the questions stand in another (`vqav2`)."""
    classes: Filled | None = None
    """ImageNet's `imagenet_class_index.json` (`babel_imagenet`)."""
    fields: Fields = Fields()
    """Which keys of a record hold what (`records`, `nlvr2`)."""
    languages: tuple[Filled, ...] | None = None
    """Which languages, as the files spell them; default: all that the files hold."""
    codes: dict[str, LanguageCode] = Field(default_factory=dict)
    """Codes of the files that the registry does not know, or takes for another language: `{jp: jpn_Jpan}`."""
    left_out: dict[str, Filled] = Field(default_factory=dict)
    """Languages of the files that are left out, and why; results say so."""
    pictures: Pictures | None = None
    template: str | None = None
    """Id of the prompt's template, one of those of training."""
    prompt: Filled | None = None
    """The prompt instead, in English: `{question} Answer in {language}.`; `{choices}` lists the choices."""
    answers: Literal["own", "english"] = "own"
    """The language of the answers: the item's own, or English for all."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Gold labels of the files, and the answers that they stand for."""
    ungraded: tuple[str, ...] = ()
    """Gold labels of items that are left out, since people did not agree on them."""
    choices: tuple[Filled, ...] = ()
    """The answers to choose from."""
    drawn_choices: Annotated[int, Field(ge=2)] | None = None
    """So many names to choose from, the right one among them, drawn for each picture (`babel_imagenet`)."""
    per_class: Annotated[int, Field(ge=1)] | None = None
    """So many pictures of a class, the first by name; default: all (`babel_imagenet`)."""
    tasks: tuple[Filled, ...] = ()
    """Tasks of the rows (`mix`); default: all."""
    answer_by: Literal["generation", "likelihood", "mean_likelihood"] = "generation"
    """What the model says, or the choice that it finds likeliest: as a whole, or by the token."""
    generation: Search = Search()
    metrics: tuple[str, ...]
    expected: dict[str, Annotated[int, Field(ge=1)]] = Field(default_factory=dict)
    """Items of each language when the files are whole; `each` is for languages that are not named."""

    @field_validator("metrics")
    @classmethod
    def _metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        metrics_of(names)
        return not_empty(names)

    @field_validator("languages")
    @classmethod
    def _languages(cls, codes: tuple[str, ...] | None) -> tuple[str, ...] | None:
        return None if codes is None else distinct(not_empty(codes))

    @model_validator(mode="after")
    def _fitting(self) -> Task:
        self._check_languages()
        self._check_prompt()
        self._check_format()
        self._check_choices()
        return self

    def _check_languages(self) -> None:
        found: dict[str, str] = {}
        for place, code in enumerate(self.languages or ()):
            if code in self.left_out:
                raise Misfit(f"left_out.{code}", "stands among `languages` too; keep one")
            try:
                language = self.language(code)
            except UnknownLanguage as error:
                raise Misfit(f"languages.{place}", f"{error}; or give it in `codes`") from error
            if language.nllb in found:
                raise Misfit(f"languages.{place}", f"is {language.nllb}, as {found[language.nllb]!r} is")
            found[language.nllb] = code
        for code in self.expected:
            if self.languages is not None and code != EACH and code not in self.languages:
                # A run of some languages keeps the numbers of all.
                self._known(f"expected.{code}", code)
        if "{code}" in self.files and self.languages is None:
            raise Misfit("languages", "needed, for `files` has `{code}`")

    def _known(self, key: str, code: str) -> None:
        try:
            self.language(code)
        except UnknownLanguage as error:
            raise Misfit(key, str(error)) from error

    def _check_prompt(self) -> None:
        if self.format == "mix":
            if self.template or self.prompt:
                raise Misfit("template" if self.template else "prompt", "rows of a mix have their prompts")
            return
        if bool(self.template) == bool(self.prompt):
            raise Misfit("template", "give either `template` or `prompt`")
        if self.template:
            try:
                chosen = template(self.template)
            except ValueError as error:
                raise Misfit("template", str(error)) from error
            others = [code for code in self.languages or () if not _worded_for(chosen, self.language(code))]
            if others or (
                self.languages is None and chosen.prompt_language not in (ENGLISH, TARGET_LANGUAGE)
            ):
                raise Misfit(
                    "template", f"is in {chosen.prompt_language}; only that language can be asked with it"
                )
        unknown = [
            name for name in re.findall(r"\{(\w*)\}", self.prompt or "") if name not in PROMPT_PLACEHOLDERS
        ]
        if unknown:
            valid = ", ".join(sorted(PROMPT_PLACEHOLDERS))
            raise Misfit("prompt", f"unknown placeholder {{{unknown[0]}}}; valid: {valid}")

    def _check_format(self) -> None:
        needs = _NEEDED.get(self.format, frozenset())
        for key in sorted(_SPECIAL):
            if key in needs and getattr(self, key) is None:
                raise Misfit(key, f"files of the format {self.format!r} need it")
            if key not in _of_use(self.format) and self.changed(key):
                users = [name for name in get_args(Format) if key in _of_use(name)]
                raise Misfit(key, f"is of no use for {self.format!r}; only for {', '.join(users)}")
        if self.pictures is not None and not self.pictures.names and self.format in _NAMING:
            raise Misfit("pictures.names", "needed: how a record names its pictures, such as `{image}.jpg`")
        if self.pictures is None and self.format == "babel_imagenet":
            raise Misfit("pictures", "needed: the folder of ImageNet's validation pictures, by synset")

        for key in ("answers", "labels", "pictures", "ungraded"):
            if self.format == "mix" and self.changed(key):
                raise Misfit(key, "is of no use for 'mix', whose rows have their pictures and answers")

    def _check_choices(self) -> None:
        closed = bool(self.choices or self.fields.choices or self.drawn_choices)
        if self.answer_by != "generation" and not closed:
            raise Misfit("answer_by", "needs choices: `choices`, `fields.choices` or `drawn_choices`")
        own = self.answers == "own" and self.choices
        if own and (not self.languages or any(not self.language(code).english for code in self.languages)):
            words = ", ".join(self.choices)
            raise Misfit("choices", f"{words} are the same in all languages; set `answers: english`")
        for label, answer in self.labels.items():
            if self.choices and answer not in self.choices:
                raise Misfit(f"labels.{label}", f"is {answer!r}, none of the choices")

    def language(self, code: str) -> Language:
        """The language that the files mean by a code; raises `UnknownLanguage`."""
        return languages()[self.codes[code]] if code in self.codes else resolve(code)

    def wanted(self, code: str) -> bool:
        """Whether items of a language, as the files spell it, are asked."""
        return self.languages is None or code in self.languages

    def answer_language(self, own: str) -> Language:
        """The language of the answer to an item in a language (NLLB code)."""
        return languages()[ENGLISH if self.answers == "english" else own]

    @property
    def prompt_template(self) -> Template | None:
        return template(self.template) if self.template else None


PROMPT_PLACEHOLDERS = SLOTS | {"text", "language", "choices"}

_SPECIAL = frozenset({"annotations", "classes", "drawn_choices", "per_class", "fields", "tasks"})
_NEEDED: Mapping[str, frozenset[str]] = {
    "vqav2": frozenset({"annotations"}),
    "babel_imagenet": frozenset({"classes"}),
}
_ALLOWED: Mapping[str, frozenset[str]] = {
    "records": frozenset({"fields"}),
    "nlvr2": frozenset({"fields"}),
    "babel_imagenet": frozenset({"drawn_choices", "per_class"}),
    "mix": frozenset({"tasks"}),
}
"""Keys that are of use for some formats alone."""
_NAMING = frozenset({"records", "vqav2", "nlvr2", "maxm", "xm3600", "captions"})

_PLACES: dict[str, Any] = {
    "root": True,
    "files": True,
    "annotations": True,
    "classes": True,
    "pictures": {"path"},
}
"""Keys that say where things are; the files that are read have a digest of their own."""


def _of_use(format: str) -> frozenset[str]:
    """The special keys that a format has a use for."""
    return _NEEDED.get(format, frozenset()) | _ALLOWED.get(format, frozenset())


def _worded_for(chosen: Template, language: Language) -> bool:
    return chosen.prompt_language in (ENGLISH, TARGET_LANGUAGE, language.nllb)


@dataclass(frozen=True)
class TaskFile:
    """A task, and the file that it was read from."""

    task: Task
    written: SettingsFile

    @property
    def name(self) -> str:
        return self.task.name

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all settings but those that say where files are; these have a digest of their own."""
        return hashlib.sha256(json.dumps(self.described(), sort_keys=True).encode()).hexdigest()

    def described(self) -> dict[str, Any]:
        """The settings that decide on what is asked and how it is scored."""
        return self.task.model_dump(mode="json", exclude=_PLACES)

    @property
    def root(self) -> Path:
        """Absolute folder that the task's paths start at."""
        if self.task.root is None:
            return self.written.folder
        return (self.written.folder / Path(self.task.root).expanduser()).absolute()

    def paths(self, key: Key, pattern: str) -> list[Path]:
        """The files or folders that a path or glob of the task means, in order.

        Raises:
            SettingsError: there is none.
        """
        path = Path(pattern).expanduser()
        whole = self.root / path
        if whole.exists():
            return [whole]
        # The root is a folder, and a bracket in its name no pattern.
        anchor = self.root if self.root in whole.parents else Path(whole.anchor)
        # Copies from a Mac have a file `._NAME` beside every file.
        found = sorted(
            path for path in anchor.glob(str(whole.relative_to(anchor))) if not path.name.startswith("._")
        )
        if not found:
            listed = isinstance(key[-1], int)
            option = f"--set {dotted(key[:-1])}=[FOLDER]" if listed else f"--set {dotted(key)}=FILE"
            remedy = f"there is no {whole}; say where the data is by `--set root=FOLDER` or `{option}`"
            raise self.written.error(key, remedy)
        return found


def task_path(name: str) -> Path:
    """The file of a task: a path, or the name of a task of the package.

    Raises:
        SettingsError: there is neither; the message lists the package's tasks.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    shipped = shipped_tasks()
    if name not in shipped:
        remedy = f"is no file and no task of the package; those are {', '.join(shipped)}"
        raise SettingsError(name, None, "", None, remedy)
    return shipped[name]


def shipped_tasks() -> dict[str, Path]:
    """The package's tasks by name, in order."""
    folder = Path(str(files("evaluation").joinpath("tasks")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def read_task(name: str | Path, overrides: Sequence[str] = ()) -> TaskFile:
    """A task with each override `dotted.key=value` put in.

    A path that an override gives starts at the working directory, as on any command line.

    Raises:
        SettingsError: the file is wrong; the message names file, line, key, value and what would be right.
    """
    path = task_path(str(name))
    written = read_settings_file(path, overrides)
    task = checked(Task, written)
    if task.root is not None and ("root",) in written.overridden:
        task = task.model_copy(update={"root": str(Path(task.root).expanduser().absolute())})
    if task.root is None and path in shipped_tasks().values():
        raise written.error(("root",), "say where the data is: `--set root=FOLDER`", show=False)
    return TaskFile(task, written)
