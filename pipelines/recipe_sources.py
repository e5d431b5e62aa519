"""The sources that a recipe can name: a model of keys for each format."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from pipelines.recipe_languages import Languages
from pipelines.recipe_values import File, Files, Name, Pictures
from translation.languages import ENGLISH
from translation.settings import Filled, LanguageCode, Misfit, Section, Share, distinct, not_empty

Task = Literal[
    "caption",
    "matching",
    "vqa",
    "vqg",
    "reason",
    "instruct",
    "classify",
    "classify_yes_no",
    "statement",
    "entailment",
    "text",
]

Tasks = Annotated[tuple[Task, ...], AfterValidator(not_empty), AfterValidator(distinct)]

_NEGATIVE_TASKS = frozenset({"matching", "classify_yes_no"})
_KEYS_OF_TASKS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "negatives": _NEGATIVE_TASKS,
        "english_answers": frozenset({"vqa"}),
        "skip_answers": frozenset({"vqa", "vqg", "reason"}),
        "turns": frozenset({"instruct"}),
        "phrases": frozenset({"caption"}),
    }
)
_TASKS_WITHOUT_SLOT = frozenset({"caption", "classify", "classify_yes_no"})
"""Their prompts are templates alone, or hold names that stand in a table."""


class Phrases(Section):
    """Balanced captions: rare phrases whole, frequent ones in part (LLaVA's way to thin out a web set)."""

    seen: Annotated[int, Field(ge=1)] = 10
    """A phrase counts if at least this many captions hold it."""
    keep: Annotated[int, Field(ge=1)] = 30
    """Captions that are kept for each phrase; a caption is kept if one of its phrases keeps it."""


class _Source(Section):
    """What all sources have."""

    main: ClassVar[str] = "path"
    """The key of the files that are read piece by piece."""
    possible: ClassVar[tuple[Task, ...]] = ()
    """Tasks that the format's records can serve."""
    keys_of_tasks: ClassVar[Mapping[str, frozenset[str]]] = _KEYS_OF_TASKS
    """Keys that have an effect on some tasks alone."""

    name: Name
    """First part of every row's id, and the column `dataset`."""
    licence: Filled | None = None
    """Of texts and pictures, in words; stands in the mix's card."""
    tasks: Tasks
    """What is made of each record: one row per task. Tasks of one source are made of the same kind of record:
    `caption` and `matching`; `vqa`, `vqg` and `reason`."""
    prompt: Literal["translate", "keep"] = "translate"
    """`keep` leaves questions, instructions and statements in English, and translates the targets."""
    english_answers: Share = 0.0
    """Share of the answers to questions that stay English, with "in English" in the prompt (`vqa`). Such a
    row stands under English, the language of its target; `id` and `question_language` name the question's."""
    skip_answers: tuple[Filled, ...] = ()
    """Questions with one of these answers, of several the most common one, are left out; case, punctuation
    and articles do not count (`vqa`, `vqg`, `reason`). They count as left out, not as rejected."""
    negatives: Share = 0.5
    """Share of wrong captions (`matching`) and wrong classes (`classify_yes_no`). A wrong caption is that of
    any other picture of the source, on whichever side of the split."""
    turns: Literal["split", "keep"] = "split"
    """Conversations: each question alone, or after what was said before it, as paragraphs (`instruct`)."""
    languages: Languages | None = None
    """Another policy than the recipe's; keys that are left out are taken from there."""
    max_rows: Annotated[int, Field(ge=1)] | None = None
    """At most this many examples for each task, drawn by the seed."""
    phrases: Phrases | None = None
    """Captions only: balance them by the phrases that they hold."""

    @model_validator(mode="after")
    def _tasks_of_the_format(self) -> _Source:
        for index, task in enumerate(self.tasks):
            if task not in self.possible:
                right = ", ".join(f"`{one}`" for one in self.possible)
                raise Misfit(f"tasks.{index}", f"this format's records do not serve it; they serve {right}")
        if self.changed("prompt") and set(self.tasks) <= _TASKS_WITHOUT_SLOT:
            raise Misfit("prompt", "these tasks have no text in their prompts; take the key out")
        for key, wanted in self.keys_of_tasks.items():
            if self.changed(key) and not wanted & set(self.tasks):
                right = " or ".join(f"`{one}`" for one in sorted(wanted))
                raise Misfit(key, f"has no effect without the task {right}; take it out")
        return self

    @property
    def reads_urls(self) -> bool:
        """Whether records may name their picture by a URL."""
        return False

    @property
    def own_language(self) -> str | None:
        """What all its texts are written in, and stay in; None where they are English, or a path says it."""
        return None

    @property
    def stays_in_own_language(self) -> bool:
        """Whether the recipe says of its texts, by a key or in a path, that they are not translated."""
        return self.own_language is not None


def _check_translated(source: _Source) -> None:
    """That a source whose texts stay in their language says nothing about translating them."""
    if source.own_language is not None:
        for key in ("prompt", "languages"):
            if source.changed(key):
                raise Misfit(key, f"has no effect on texts that stay in {source.own_language}; take it out")


def _other_than_english(language: str | None) -> str | None:
    return None if language == ENGLISH else language


class CocoSource(_Source):
    """COCO captions: the official `captions_*.json`, or Karpathy's `dataset_*.json` (also Flickr's)."""

    main: ClassVar[str] = "annotations"
    possible: ClassVar[tuple[Task, ...]] = ("caption", "matching")

    format: Literal["coco"]
    annotations: File
    """The JSON file."""
    images: Pictures
    """What the file names are relative to."""
    tasks: Tasks = ("caption",)
    splits: (
        Annotated[
            tuple[Literal["train", "restval", "val", "test"], ...],
            AfterValidator(not_empty),
            AfterValidator(distinct),
        ]
        | None
    ) = None
    """Karpathy's layout only: which images to read; `[train, restval]` is what papers train on."""


class CapfiltSource(_Source):
    """BLIP's web captions (`ccs_synthetic_filtered_large.json`): one list of `{caption, url}`, in some copies
    with `image`, the path of a downloaded picture."""

    possible: ClassVar[tuple[Task, ...]] = ("caption", "matching")

    format: Literal["capfilt"]
    path: Files
    """The JSON file, or a glob."""
    images: Pictures | None = None
    """What `image` is relative to; without it the pictures are downloaded from `url`, see `download`."""
    tasks: Tasks = ("caption",)

    @property
    def reads_urls(self) -> bool:
        return self.images is None


class Vqav2Source(_Source):
    """VQAv2: the official files of questions and of annotations, which are joined by `question_id`."""

    main: ClassVar[str] = "questions"
    possible: ClassVar[tuple[Task, ...]] = ("vqa", "vqg")

    format: Literal["vqav2"]
    questions: File
    """`v2_OpenEnded_mscoco_train2014_questions.json`"""
    annotations: File
    """`v2_mscoco_train2014_annotations.json`"""
    images: Pictures
    """Folder or archive with `COCO_train2014_….jpg` (or `….jpg` by number alone)."""
    tasks: Tasks = ("vqa",)


class AokvqaSource(_Source):
    """A-OKVQA (`aokvqa_v1p0_train.json`): questions with answers and three rationales each."""

    main: ClassVar[str] = "annotations"
    possible: ClassVar[tuple[Task, ...]] = ("reason", "vqa", "vqg")

    format: Literal["aokvqa"]
    annotations: File
    """The JSON file."""
    images: Pictures
    """COCO 2017 pictures (`000000391895.jpg`), or those of 2014."""
    tasks: Tasks = ("reason",)


class LlavaSource(_Source):
    """LLaVA-Instruct: `detail_23k`, `conversation_58k`, `complex_reasoning_77k`, the 150k and 665k files, and
    others of that layout. Ids need not be unique: a hash of the conversation is added."""

    possible: ClassVar[tuple[Task, ...]] = ("instruct",)

    format: Literal["llava"]
    path: Files
    """The JSON file, one list or lines, or a glob."""
    images: Pictures
    """What `image` is relative to; a bare COCO number is found under 2014's and 2017's names."""
    tasks: Tasks = ("instruct",)


class ImagenetSource(_Source):
    """ImageNet: pictures in folders by synset, and the names of the classes in Babel-ImageNet's layout."""

    main: ClassVar[str] = "classes"
    possible: ClassVar[tuple[Task, ...]] = ("classify", "classify_yes_no")

    format: Literal["imagenet"]
    images: Pictures
    """Folder or archive with a folder for each synset (`n01440764/n01440764_18.JPEG`)."""
    classes: File
    """`imagenet_class_index.json`: `{"0": ["n01440764", "tench"], …}`"""
    labels: File
    """`babel_imagenet.json`: code → [class indices, labels]; BabelNet's licence is non-commercial."""
    tasks: Tasks = ("classify", "classify_yes_no")


class GqaSource(_Source):
    """GQA: the official `*_questions.json`, an object of questions by id."""

    possible: ClassVar[tuple[Task, ...]] = ("vqa", "vqg")

    format: Literal["gqa"]
    path: Files
    """The JSON file, or a glob (`train_all_questions/*.json`)."""
    images: Pictures
    """Folder or archive with `<imageId>.jpg`."""
    answer: Literal["short", "full"] = "short"
    """`answer`, or `fullAnswer`, which is a sentence."""
    tasks: Tasks = ("vqa",)


class Flickr30kSource(_Source):
    """Flickr30k: `results_20130124.token`, `results.csv`, IGLUE's JSON lines, or Entities' text files."""

    main: ClassVar[str] = "annotations"
    possible: ClassVar[tuple[Task, ...]] = ("caption", "matching")

    format: Literal["flickr30k"]
    annotations: Files
    """The file, or a glob (`Sentences/*.txt`); Karpathy's `dataset_flickr30k.json` is `format: coco`."""
    images: Pictures
    """Folder or archive with `<number>.jpg`."""
    tasks: Tasks = ("caption",)


class Nlvr2Source(_Source):
    """Statements about two pictures: NLVR2 (`train.json`: JSON lines); MaRVL, which stays in its language."""

    possible: ClassVar[tuple[Task, ...]] = ("statement",)

    format: Literal["nlvr2"]
    path: Files
    """The file of JSON lines, or a glob."""
    images: Pictures
    """Folder or archive with `dev-850-0-img0.png`, perhaps in folders by `directory`."""
    tasks: Tasks = ("statement",)


class SnliVeSource(_Source):
    """SNLI-VE (`snli_ve_train.jsonl`) or XVNLI (`train.jsonl`): does a picture entail a hypothesis?"""

    possible: ClassVar[tuple[Task, ...]] = ("entailment",)

    format: Literal["snli_ve"]
    path: Files
    """The file of JSON lines, or a glob."""
    images: Pictures
    """Folder or archive with `<Flickr30k id>.jpg`."""
    tasks: Tasks = ("entailment",)


Value = bool | int | float | str | None
"""What a cell can be compared with."""

Joined = Filled | Annotated[tuple[Filled, ...], AfterValidator(not_empty), AfterValidator(distinct)]
"""A column, or several that make one text."""


class Columns(Section):
    """Names of the columns of a source of records; a column that is not named has its default name.

    Several columns make one text: `question: [instruction, input]`. A blank line parts them (captions: a
    blank); the first must be filled, those of the others that are empty or not there are left out.
    """

    id: Filled | None = None
    """Default: the column `id` where a record has it, else file and position."""
    image: Filled | None = None
    """Default: `image`; a picture, its path, or a list of one. Conversations may have none: null, or empty;
    where the column is named here, each record must have it."""
    url: Filled | None = None
    """Of the picture, to be downloaded (see `download`); instead of `image`."""
    image_id: Filled | None = None
    """Default: none; the id comes from the image itself."""
    caption: Joined | None = None
    """Default: `caption`; a text or a list of them."""
    question: Joined | None = None
    """Default: `question`."""
    answer: Joined | None = None
    """Default: `answer`; a text, or a list of which the most common counts."""
    rationale: Filled | None = None
    """Default: `rationale`; a text or a list of them."""
    conversation: Filled | None = None
    """Default: `conversations`; LLaVA's `from`/`value`, chat's `role`/`content` (a text, or parts of text and
    image), or the Cauldron's `user`/`assistant`; what the system or the assistant says before the
    first question is left out."""
    text: Joined | None = None
    """Default: `text`."""


_COLUMNS_OF_TASK: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "caption": ("caption",),
        "matching": ("caption",),
        "vqa": ("question", "answer"),
        "vqg": ("question", "answer"),
        "reason": ("question", "answer", "rationale"),
        "instruct": ("conversation", "question", "answer"),
        "text": ("text",),
    }
)
_DEFAULT_COLUMNS: Mapping[str, str] = MappingProxyType(
    {role: role for role in Columns.model_fields} | {"conversation": "conversations"}
)
_RECORD_TASKS: tuple[Task, ...] = ("caption", "matching", "vqa", "vqg", "reason", "instruct", "text")
_KINDS = ({"caption", "matching"}, {"vqa", "vqg", "reason"}, {"instruct"}, {"text"})
"""Tasks that one kind of record can serve together."""


class _RecordSource(_Source):
    possible: ClassVar[tuple[Task, ...]] = _RECORD_TASKS

    path: Files
    """A file or a glob."""
    images: Pictures | None = None
    """What image paths are relative to; default: the folder of the data file."""
    columns: Columns = Columns()
    """Where the texts and pictures stand."""
    language: LanguageCode | None = None
    """What texts (`tasks: [text]`) are written in, and stay in; English ones are translated."""
    where: dict[Filled, Value | Annotated[tuple[Value, ...], AfterValidator(not_empty)]] = Field(
        default_factory=dict
    )
    """Only records with these values are read: column -> a value, or a list of which one must be there.
    Text, numbers and booleans differ (`1` is no `true`), but for CSV, where cells are text; `null` is an
    empty cell, or a key that is not there. Other records count as left out, not as rejected."""

    @model_validator(mode="after")
    def _keys_of_the_tasks(self) -> _RecordSource:
        kind = next(kind for kind in _KINDS if self.tasks[0] in kind)
        for index, task in enumerate(self.tasks):
            if task not in kind:
                raise Misfit(
                    f"tasks.{index}",
                    f"is made of other records than `{self.tasks[0]}`; name the file in a source of its own",
                )
        right = {role for task in self.tasks for role in _COLUMNS_OF_TASK[task]}
        texts = {role for roles in _COLUMNS_OF_TASK.values() for role in roles}
        named = {role for role in texts if getattr(self.columns, role) is not None}
        for role in sorted(named - right):
            told = ", ".join(f"`{one}`" for one in _COLUMNS_OF_TASK[self.tasks[0]])
            raise Misfit(f"columns.{role}", f"`tasks: [{self.tasks[0]}]` has no such text, it reads {told}")
        if "conversation" in named and len(named) > 1:
            raise Misfit("columns.conversation", "name either `conversation`, or `question` and `answer`")
        if self.columns.url is not None and self.columns.image is not None:
            raise Misfit("columns.url", "name either `image` or `url`")
        if "text" in self.tasks:
            for key in ("image", "url", "image_id"):
                if getattr(self.columns, key) is not None:
                    raise Misfit(f"columns.{key}", "texts have no pictures; take it out")
            if self.images is not None:
                raise Misfit("images", "texts have no pictures; take it out")
        if self.columns.url is not None and self.images is not None:
            raise Misfit("images", "has no effect where pictures are downloaded; take it out")
        if self.language is not None and "text" not in self.tasks:
            raise Misfit("language", "only `tasks: [text]` stay in their language; others must be English")
        _check_translated(self)
        if self.turns == "keep" and not self.in_turns:
            raise Misfit("turns", "a question and its answer are one turn; take it out")
        return self

    @property
    def own_language(self) -> str | None:
        return _other_than_english(self.language)

    def column(self, role: str) -> str:
        """The column, of several the first, for a role: `id`, `image`, `caption`, `question`, ..."""
        named: str | tuple[str, ...] | None = getattr(self.columns, role)
        return (named[0] if isinstance(named, tuple) else named) or _DEFAULT_COLUMNS[role]

    def further_columns(self, role: str) -> tuple[str, ...]:
        """The columns that are joined to that one."""
        named: str | tuple[str, ...] | None = getattr(self.columns, role)
        return named[1:] if isinstance(named, tuple) else ()

    @property
    def text_columns(self) -> tuple[str, ...]:
        """All columns of texts."""
        return tuple(
            one for role in self.text_roles for one in (self.column(role), *self.further_columns(role))
        )

    @property
    def looked_up(self) -> Mapping[tuple[str | int, ...], str]:
        """Columns that a record may lack, but not all of a file: key of the source -> column."""
        joined: dict[tuple[str | int, ...], str] = {
            ("columns", role, number): column
            for role in self.text_roles
            for number, column in enumerate(self.further_columns(role), start=1)
        }
        return {**joined, **{("where", column): column for column in self.where}}

    @property
    def in_turns(self) -> bool:
        """Whether a record is a conversation, not one question and answer."""
        return "instruct" in self.tasks and self.columns.question is None and self.columns.answer is None

    @property
    def needs_picture(self) -> bool:
        """Whether a record without a picture is none that the tasks can use."""
        return "text" not in self.tasks and "instruct" not in self.tasks

    @property
    def has_picture_column(self) -> bool:
        """Whether every record must have the column of pictures, though what it holds may be null."""
        named = self.columns.image is not None or self.columns.url is not None
        return self.needs_picture or named

    @property
    def text_roles(self) -> tuple[str, ...]:
        """The columns, by role, that every record must have."""
        if "instruct" in self.tasks:
            return ("conversation",) if self.in_turns else ("question", "answer")
        return max((_COLUMNS_OF_TASK[task] for task in self.tasks), key=len)

    @property
    def reads_urls(self) -> bool:
        return self.columns.url is not None


class JsonlSource(_RecordSource):
    """JSON lines: one object a line, UTF-8."""

    format: Literal["jsonl"]


class JsonSource(_RecordSource):
    """JSON: one list of objects, or an object of records by their ids; also below a key."""

    format: Literal["json"]
    field: Filled | None = None
    """Key of the records in the object at the top (`data`); default: the file is nothing but records."""


class CsvSource(_RecordSource):
    """CSV, or TSV by the name `.tsv`, with a header line, as lists for img2dataset are; UTF-8."""

    format: Literal["csv"]


class ParquetSource(_RecordSource):
    """Parquet files; the image is bytes, a struct of bytes and path, a path, or a URL."""

    format: Literal["parquet"]


class WebdatasetSource(_Source):
    """WebDataset shards, as img2dataset writes them: `000.jpg`, `000.txt`, `000.json` in a tar file."""

    possible: ClassVar[tuple[Task, ...]] = ("caption", "matching", "vqa", "vqg", "instruct")
    keys_of_tasks: ClassVar[Mapping[str, frozenset[str]]] = MappingProxyType(
        {
            **_KEYS_OF_TASKS,
            "caption": frozenset({"caption", "matching"}),
            "question": frozenset({"vqa", "vqg"}),
            "answer": frozenset({"vqa", "vqg"}),
            "conversation": frozenset({"instruct"}),
        }
    )

    format: Literal["webdataset"]
    path: Files
    """A tar file, or a glob (`shards/*.tar`)."""
    caption: Filled = "txt"
    """Extension of the caption (`txt`), or `json:KEY`."""
    question: Filled = "json:question"
    """Extension or `json:KEY` of the question (`vqa`, `vqg`)."""
    answer: Filled = "json:answer"
    """Extension or `json:KEY` of the answer (`vqa`, `vqg`)."""
    conversation: Filled = "json:conversations"
    """`json:KEY` of the turns (`instruct`)."""


LANGUAGE_SLOT = "{language}"
"""In the path of plain texts: stands for the code of what each file is written in."""


class TextSource(_Source):
    """Plain text, one text a line, without pictures: keeps a language model's languages.

    A row asks to continue a text: its first sentences, about a third of it, are the prompt, the others the
    target.
    """

    possible: ClassVar[tuple[Task, ...]] = ("text",)

    format: Literal["text"]
    path: Files
    """A file or a glob; `{language}` in it stands for a code (`wiki/{language}.txt`)."""
    language: LanguageCode | None = None
    """What the texts are written in, and stay in; English ones are translated."""
    tasks: Tasks = ("text",)

    @model_validator(mode="after")
    def _keys_of_translated_texts(self) -> TextSource:
        _check_translated(self)
        return self

    @property
    def own_language(self) -> str | None:
        return _other_than_english(self.language)

    @property
    def stays_in_own_language(self) -> bool:
        return super().stays_in_own_language or LANGUAGE_SLOT in self.path


RecordSource = JsonlSource | JsonSource | CsvSource | ParquetSource
Source = (
    CocoSource
    | CapfiltSource
    | Vqav2Source
    | AokvqaSource
    | LlavaSource
    | ImagenetSource
    | GqaSource
    | Flickr30kSource
    | Nlvr2Source
    | SnliVeSource
    | JsonlSource
    | JsonSource
    | CsvSource
    | ParquetSource
    | WebdatasetSource
    | TextSource
)

SOURCES: Mapping[str, type[_Source]] = MappingProxyType(
    {
        "coco": CocoSource,
        "capfilt": CapfiltSource,
        "vqav2": Vqav2Source,
        "aokvqa": AokvqaSource,
        "llava": LlavaSource,
        "imagenet": ImagenetSource,
        "gqa": GqaSource,
        "flickr30k": Flickr30kSource,
        "nlvr2": Nlvr2Source,
        "snli_ve": SnliVeSource,
        "jsonl": JsonlSource,
        "json": JsonSource,
        "csv": CsvSource,
        "parquet": ParquetSource,
        "webdataset": WebdatasetSource,
        "text": TextSource,
    }
)
"""`format` -> the model of its keys."""
