"""Writes docs/recipes.md from the code: every key of a recipe with type, default, example and meaning.

python -m scripts.recipe_docs            # writes the file
python -m scripts.recipe_docs --check    # exit 1 if it would change
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pipelines.recipe import Recipe
from pipelines.recipe_sources import SOURCES, Value
from pipelines.recipe_values import Place
from translation.filters.policy import AtLeast, AtMost, Between, Policy

PAGE = Path(__file__).parent.parent / "docs" / "recipes.md"

EXAMPLES: Mapping[str, Any] = {
    "name": "coco-95",
    "root": "/datasets",
    "model": "models/nllb-200-distilled-600M-int8",
    "identification": "models/glotlid.bin",
    "quality": ["labse"],
    "thresholds": "mine.tsv",
    "licence": "CC-BY-4.0",
    "cache": "pictures/",
    "user_agent": "coco-95 (me@example.org)",
    "codes": ["deu_Latn", "sw", "iw"],
    "weights": {"deu_Latn": 2, "swh_Latn": 1},
    "floor": 0.001,
    "cap": 0.02,
    "max_rows": 100000,
    "phrases": {"seen": 10, "keep": 30},
    "annotations": "annotations/captions_train2014.json",
    "questions": "v2_OpenEnded_mscoco_train2014_questions.json",
    "images": "train2014/",
    "splits": ["train", "restval"],
    "path": "data/*.json",
    "classes": "imagenet_class_index.json",
    "labels": "babel_imagenet-298.json",
    "file": "answers.tsv",
    "language": "sw",
    "caption": "json:caption",
    "question": "json:q",
    "answer": "json:a",
    "conversation": "json:turns",
    "languages": {"english_share": 0.4},
    "templates": {"translated": 0.3},
    "translation": {"beam_size": 1},
    "answers": {"file": "answers.tsv"},
    "deduplicate": {"images": "near"},
    "download": {"cache": "pictures/"},
    "filters": {"lid": {"min": 0.6}},
    "columns": {"caption": "TEXT", "url": "URL"},
    "skip_answers": ["unanswerable", "unsuitable"],
    "where": {"split": "train", "label": ["entailment", "neutral"]},
    "field": "data",
    "per_example": 2,
    "english_share": 0.4,
    "alpha": 0.3,
}
"""Values for keys whose example does not follow from type and default; checked against the key's type."""

EXAMPLES_OF_FORMATS: Mapping[str, Mapping[str, Any]] = {
    "capfilt": {"path": "ccs_synthetic_filtered_large.json", "images": "capfilt-*.tar"},
    "vqav2": {"annotations": "v2_mscoco_train2014_annotations.json", "images": "train2014.zip"},
    "aokvqa": {"annotations": "aokvqa_v1p0_train.json", "images": "train2017/"},
    "llava": {"path": "llava_instruct_150k.json", "images": "train2017/"},
    "imagenet": {"images": "imagenet/train/"},
    "gqa": {"path": "train_balanced_questions.json", "images": "gqa/images/"},
    "flickr30k": {"annotations": "results_20130124.token", "images": "flickr30k-images/"},
    "nlvr2": {"path": "nlvr2/train.json", "images": "nlvr2/images/train/"},
    "snli_ve": {"path": "snli_ve_train.jsonl", "images": "flickr30k-images/"},
    "jsonl": {"path": "questions-*.jsonl"},
    "json": {"path": "TextVQA_train.json"},
    "csv": {"path": "questions.csv"},
    "parquet": {"path": "data/train-*.parquet"},
    "webdataset": {"path": "shards/*.tar"},
    "text": {"path": "wikipedia/{language}.txt"},
}


@dataclasses.dataclass(frozen=True)
class Key:
    """One line of a table."""

    name: str
    hint: Any
    default: Any
    text: str


def keys_of(section: type) -> list[Key]:
    """The keys of a section of a recipe, a pydantic model or a dataclass, in the order of the code."""
    texts = attribute_docstrings(section)
    hints = get_type_hints(section, include_extras=True)
    found: Mapping[str, Any]
    if issubclass(section, BaseModel):
        found = {name: _default_of(field) for name, field in section.model_fields.items()}
    else:
        found = {field.name: field.default for field in dataclasses.fields(section)}
    return [Key(name, hints[name], default, texts.get(name, "")) for name, default in found.items()]


def _default_of(field: FieldInfo) -> Any:
    if field.is_required():
        return PydanticUndefined
    return field.get_default(call_default_factory=True)


@cache
def attribute_docstrings(section: type) -> Mapping[str, str]:
    """The texts below the fields of a class and of those that it inherits from."""
    texts: dict[str, str] = {}
    for one in reversed(section.__mro__):
        if one.__module__.split(".")[0] not in ("pipelines", "translation", "training"):
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            ):
                texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts


def type_in_words(hint: Any) -> str:
    """A type as a table shows it."""
    origin, inside = get_origin(hint), get_args(hint)
    if origin is Annotated:
        bounds = _bounds(list(_metadata(inside[1:])))
        place = next((one for one in inside[1:] if isinstance(one, Place)), None)
        kinds = {"file": "path", "files": "path or glob", "pictures": "folder or archives"}
        said = kinds[place.kind] if place else type_in_words(inside[0])
        return f"{said} {bounds}".strip()
    if origin in (Union, UnionType):
        if set(inside) >= _VALUES:
            others = [one for one in inside if one not in _VALUES]
            return " or ".join(["value", *map(type_in_words, others)])
        return " or ".join("null" if one is NoneType else type_in_words(one) for one in inside)
    if origin is Literal:
        return " · ".join(f"`{one}`" for one in inside)
    if origin is tuple:
        return f"list of {type_in_words(inside[0])}"
    if origin is dict:
        return f"mapping of {type_in_words(inside[0])} to {type_in_words(inside[1])}"
    if isinstance(hint, type) and hint in (AtLeast, AtMost, Between):
        return {AtLeast: "`min`", AtMost: "`max`", Between: "`min`, `max`"}[hint]
    names = {str: "text", int: "whole number", float: "number", bool: "`true` · `false`"}
    return names.get(hint, "mapping")


_VALUES = frozenset(get_args(Value))


def _metadata(held: tuple[Any, ...]) -> Iterator[Any]:
    for one in held:
        if isinstance(one, FieldInfo):
            yield from one.metadata
        else:
            yield one


def _bounds(metadata: list[Any]) -> str:
    """`0 to 1`, `at least 1`, `0 to below 1`, ..."""
    least = most = ""
    for one in metadata:
        match one:
            case Ge(ge=value):
                least = f"{value:,}"
            case Gt(gt=value):
                least = f"above {value:,}"
            case Le(le=value):
                most = f"{value:,}"
            case Lt(lt=value) if value < 10**9:  # type: ignore[operator]
                most = f"below {value:,}"
    if least and most:
        return f"{least} to {most}"
    return f"at least {least}" if least and not least.startswith("above") else least


def example_of(key: Key, section: type) -> Any:
    """A value that the key can have, and another one than its default where it has one.

    Raises:
        ValueError: the type does not accept the example.
    """
    if issubclass(section, BaseModel) and key.name == "tasks":
        possible = getattr(section, "possible", ()) or ("vqa", "vqg")
        return [possible[0]] if len(possible) == 1 else list(possible[:2])
    if key.name == "format":
        return get_args(key.hint)[0]
    own = EXAMPLES_OF_FORMATS.get(_format_of(section), {})
    value = own.get(key.name, EXAMPLES.get(key.name))
    if section.__name__ == "Columns":
        value = key.name.upper()
    elif isinstance(key.default, AtLeast | AtMost | Between):
        return _example_of_rule(key)
    elif value is None or (get_origin(key.hint) is Literal and value not in get_args(key.hint)):
        value = _derived(key)
    try:
        TypeAdapter(key.hint).validate_python(_as_tuples(value))
    except ValueError as error:
        raise ValueError(
            f"{section.__name__}.{key.name}: the example {value!r} does not fit: {error}"
        ) from error
    return value


def _format_of(section: type) -> str:
    return next((name for name, model in SOURCES.items() if model is section), "")


def _as_tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _derived(key: Key) -> Any:
    options = [one for one in _literals(key.hint) if one != key.default]
    if options:
        return options[0]
    if isinstance(key.default, bool):
        return not key.default
    if isinstance(key.default, int):
        return key.default // 2 or 3
    if isinstance(key.default, float):
        return key.default / 2 or 0.5
    raise ValueError(f"`{key.name}` has no example; add one to EXAMPLES")


def _literals(hint: Any) -> list[Any]:
    if get_origin(hint) is Literal:
        return list(get_args(hint))
    return [one for inside in get_args(hint) for one in _literals(inside)] if get_args(hint) else []


def _example_of_rule(key: Key) -> dict[str, Any]:
    bounds: dict[str, Any] = {}
    for side, value in vars(key.default).items():
        bounds[side] = 0.5 if value in ("calibrated", None) else None
    return bounds


def page() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, _table("The recipe", Recipe, "")]
    for key in keys_of(Recipe):
        inner = _section(key.hint)
        if inner is not None:
            parts.append(_table(f"`{key.name}`", inner, key.text))
    parts.append(_SOURCES_INTRODUCTION)
    every = next(iter(SOURCES.values())).__mro__[1]
    common = {key.name for key in keys_of(every)}
    parts.append(_table("Every source", every, ""))
    for name, section in SOURCES.items():
        own = frozenset(common - {"tasks"})
        parts.append(_table(f"`format: {name}`", section, inspect.getdoc(section) or "", skip=own))
    columns = SOURCES["jsonl"].model_fields["columns"].annotation
    assert isinstance(columns, type)
    parts.append(_table("`columns`", columns, inspect.getdoc(columns) or ""))
    phrases = _section(SOURCES["coco"].model_fields["phrases"].annotation)
    assert phrases is not None
    parts.append(_table("`phrases`", phrases, inspect.getdoc(phrases) or ""))
    return "\n".join(parts)


_INTRODUCTION = """# Recipes

Every key of a recipe, made from the code by `python -m scripts.recipe_docs`; do not edit. A recipe is YAML
1.2 (`no` is Norwegian, not false). It is checked whole before anything is read: a mistake ends with exit code
2 and one line that names file, line, key, value and what would be right. `--set key.inner=value` sets any
key.
Recipes to start from are in [`recipes/`](../recipes). They ship: `translate-mix plan gqa` finds `gqa.yaml`
where there is no such file, also without a clone, and its paths start at the working directory.
"""

_SOURCES_INTRODUCTION = """## `sources`

A list; each item has `name`, `format`, and the keys of its format. Paths start at `root`, or else at the
recipe's folder. Pictures are in a folder, a tar or zip file, or a glob of tar or zip files.
"""


def _section(hint: Any) -> type | None:
    """The model or dataclass of a key that is a mapping of keys."""
    options = [hint, *get_args(hint)]
    return next(
        (
            one
            for one in options
            if isinstance(one, type)
            and (issubclass(one, BaseModel) or one.__name__ in ("Decoding", "Policy"))
        ),
        None,
    )


def _table(title: str, section: type, text: str, skip: frozenset[str] = frozenset()) -> str:
    lines = [f"## {title}" if not title.startswith("`format") else f"### {title}", ""]
    if text:
        lines += [text, ""]
    lines += ["| key | type | default | example | |", "|---|---|---|---|---|"]
    for key in keys_of(section):
        if key.name in skip:
            continue
        cells = (
            f"`{key.name}`",
            _type_of(key, section),
            shown_default(key),
            "" if key.name == "sources" else f"`{_yaml(example_of(key, section))}`",
            key.text,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, ""])


def _type_of(key: Key, section: type) -> str:
    if key.name == "sources":
        return "see below"
    possible = getattr(section, "possible", ())
    if key.name == "tasks" and possible:
        return "list of " + " · ".join(f"`{task}`" for task in possible)
    return type_in_words(key.hint)


def shown_default(key: Key) -> str:
    """A default as a table shows it."""
    default = key.default
    if default is PydanticUndefined or default is dataclasses.MISSING:
        return "needed"
    if isinstance(default, BaseModel | Policy) or type(default).__name__ == "Decoding":
        return "see below"
    if isinstance(default, AtLeast | AtMost | Between):
        return f"`{_yaml(dataclasses.asdict(default))}`"
    if key.name == "codes":
        return f"all {len(default)}"
    if default == ():
        return "none"
    if isinstance(default, str) and "\n" in default:
        return f"`{json.dumps(default)}`"
    return f"`{_yaml(list(default) if isinstance(default, tuple) else default)}`"


def _yaml(value: Any) -> str:
    dumped = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False, allow_unicode=True)
    return dumped.removesuffix("\n").removesuffix("\n...").strip()


def main() -> int:
    """Writes the page, or says whether it is the one that is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only say whether the page would change")
    made = page()
    if parser.parse_args().check:
        if PAGE.read_text(encoding="utf-8") != made:
            print(
                f"{PAGE.name} is not what the code says; run python -m scripts.recipe_docs", file=sys.stderr
            )
            return 1
        return 0
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
