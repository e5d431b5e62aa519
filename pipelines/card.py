"""The dataset card of a mix: a README.md by which `datasets` finds the data and a reader learns what it is.

Front matter as the Hugging Face hub documents it (https://huggingface.co/docs/hub/datasets-manual-configuration).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from pipelines.split import TRAIN, VALIDATION
from pipelines.summary import LanguageCounts, language_name, left_out_line, total
from translation.languages import ENGLISH, languages
from translation.model import SMALL
from translation.row import UNDETERMINED

if TYPE_CHECKING:
    from pipelines.manifest import Manifest

ALL = "all"
"""The configuration with every language, the default one."""

_CELL_END = re.compile(r"(?<!\\)\|")

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_MORE = ((10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"))


def dataset_card(manifest: Manifest, name: str, licences: Mapping[str, str]) -> str:
    """The README.md of a mix.

    Args:
        manifest: of the finished mix.
        name: the recipe's.
        licences: what it was made with and from (`model small`, `source coco`) -> its licence.
    """
    front = yaml.safe_dump(
        _front_matter(manifest, name), allow_unicode=True, sort_keys=False, default_flow_style=False
    )
    sections = (
        f"# {name}",
        _introduction(manifest),
        _loading(manifest),
        _rows(manifest.counts),
        left_out_line(manifest.left_out) if manifest.left_out else "",
        _making(manifest),
        _limits(manifest),
        _licences(licences),
    )
    return f"---\n{front}---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(manifest: Manifest, name: str) -> dict[str, Any]:
    present = sorted({file.language for file in manifest.files if file.accepted})
    everything = {file.split for file in manifest.files if file.accepted}
    configs = (
        [{"config_name": ALL, "default": True, "data_files": _data_files("*", everything)}] if present else []
    )
    for code in present:
        splits = {file.split for file in manifest.files if file.accepted and file.language == code}
        configs.append({"config_name": code, "data_files": _data_files(code, splits)})
    front = {
        "pretty_name": name,
        # The hub knows languages without their script.
        "language": sorted({languages()[code].bcp47.split("-")[0] for code in present}),
        "license": "other",
        "license_name": "see-licences",
        "task_categories": ["image-to-text", "visual-question-answering"],
        "tags": ["multilingual", "machine-translated", "translate-mix"],
        "size_categories": [_size(manifest.accepted)],
        "configs": configs,
    }
    return {key: value for key, value in front.items() if value != []}


def _data_files(folder: str, splits: set[str]) -> list[dict[str, str]]:
    """Patterns of the splits that exist; a pattern that matches nothing would make `datasets` fail."""
    return [
        {"split": split, "path": f"data/{folder}/{split}-*.parquet"}
        for split in (TRAIN, VALIDATION)
        if split in splits
    ]


def _size(rows: int) -> str:
    return next((name for limit, name in (*_SIZES, *_MORE) if rows < limit), "n>100M")


def _introduction(manifest: Manifest) -> str:
    accepted = [count for count in manifest.counts if count.accepted]
    english = next((count.accepted for count in accepted if count.language == ENGLISH), 0)
    share = f" ({english / manifest.accepted:.0%} of them English)" if manifest.accepted else ""
    return (
        f"Images with prompts and target texts in {len(accepted)} languages: {manifest.accepted:,} rows"
        f"{share}. English image-text data was spread over the languages, "
        "translated by machine, and filtered. Every row keeps the English it came from, its scores and its "
        "verdict."
    )


def _loading(manifest: Manifest) -> str:
    codes = sorted(count.language for count in manifest.counts if count.accepted)
    if not codes:
        return "No row was accepted: there is nothing to load. `rejected/` holds every row with its reason."
    code = next((code for code in codes if code != ENGLISH), codes[0])
    where = _LOOKED_UP if manifest.images else ""
    picture = "{'bytes': None, 'path': ID}" if manifest.images else "a PIL image, if they are embedded"
    return (
        "## Loading\n\n"
        "```python\n"
        "from datasets import load_dataset\n\n"
        'mix = load_dataset("DIR")  # every language\n'
        f'{code.split("_")[0]} = load_dataset("DIR", "{code}")  # {language_name(code)} alone\n'
        f'mix["{_first_split(manifest)}"][0]["image"]  # {picture}\n'
        f"```\n\n{where}"
        "`DIR` is the folder of this file, or the name of the data set on the hub. "
        "`rejected/` is in no configuration: it holds what was not accepted, with the column `reason`, and "
        "with the pictures that `translate-mix refilter` needs to accept a row after all."
    )


_LOOKED_UP = """Pictures are stored once for all rows, under `images/`; a row names its own by
`image["path"]`:

```python
pictures = load_dataset("parquet", data_files="DIR/images/*.parquet", split="train")
at = {image_id: row for row, image_id in enumerate(pictures["image_id"])}
pictures[at[ID]]["image"]  # a PIL image
```

"""


def _first_split(manifest: Manifest) -> str:
    splits = {file.split for file in manifest.files if file.accepted}
    return TRAIN if TRAIN in splits else VALIDATION


def _rows(counts: Sequence[LanguageCounts]) -> str:
    ordered = sorted(counts, key=lambda count: (count.language == UNDETERMINED, count.language))
    lines = [
        "| code | language | read | accepted | rejected | commonest reason |",
        "|---|---|--:|--:|--:|---|",
    ]
    lines += [_row(count, count.language, language_name(count.language)) for count in ordered]
    lines.append(_row(total(counts), "**total**", ""))
    return "## Rows\n\n" + "\n".join(lines)


def _row(count: LanguageCounts, code: str, name: str) -> str:
    reason = count.commonest_reason or ""
    cells = (code, name, f"{count.read:,}", f"{count.accepted:,}", f"{count.rejected:,}", reason)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    """Text that neither ends a table cell nor its line."""
    return " ".join(text.split()).replace("|", "\\|")


def _text(cell: str) -> str:
    """The text that `_cell` was given."""
    return cell.strip().replace("\\|", "|")


def _making(manifest: Manifest) -> str:
    signature = manifest.signature
    return (
        "## How it was made\n\n"
        f"- translate-mix {signature.version}, recipe `{signature.recipe}`, seed {signature.seed}\n"
        f"- translation: {signature.model} (`{signature.model_digest}`) on {signature.engine}, "
        f"{signature.decoding}\n"
        f"- language identification: {signature.identification} (`{signature.identification_digest}`)\n\n"
        f"Signature: `{signature}`\n\n"
        "The same signature and the same source data give the same rows. `manifest.json` lists every file "
        "with its number of rows and SHA-256."
    )


def _limits(manifest: Manifest) -> str:
    limits = [
        "Texts outside English are machine translations that passed automatic filters; no person read them. "
        "Filters find wrong languages, copies, loops and lost text better than wrong words.",
        "Quality differs between languages, and scores of different languages cannot be compared.",
        "The pictures and texts have the biases of their English sources; names and customs stayed.",
    ]
    if manifest.signature.model == SMALL:
        limits.insert(
            0,
            "**Made with the small model, a stand-in for trying things out** that learnt a few names. "
            "Do not train on this; build the mix with an NLLB model.",
        )
    without = sorted(
        language_name(count.language)
        for count in manifest.counts
        if not count.accepted and count.language != UNDETERMINED
    )
    if without:
        limits.append(f"No row was accepted in: {', '.join(without)}.")
    return "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _licences(licences: Mapping[str, str]) -> str:
    lines = [f"| {_cell(part)} | {_cell(licence)} |" for part, licence in licences.items()]
    return (
        "## Licences\n\n"
        + "| made with, made from | licence |\n|---|---|\n"
        + "\n".join(lines)
        + "\n\nA translation has the licence of its source; the licence of the model may bind its output "
        "too. NLLB's weights are CC-BY-NC-4.0."
    )
