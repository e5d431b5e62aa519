"""The dataset card of a mix: a README.md by which `datasets` finds the data and a reader learns what it is.

Front matter as the Hugging Face hub documents it (https://github.com/huggingface/hub-docs/blob/main/datasetcard.md,
https://huggingface.co/docs/hub/datasets-manual-configuration).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import yaml

from pipelines.images import REFERENCE
from pipelines.preview import PreviewRow, markdown
from pipelines.recipe import Recipe
from pipelines.recipe_sources import ImagenetSource
from pipelines.shares import PROPORTIONAL
from pipelines.summary import LanguageCounts, counted, language_name, left_out_line, total
from translation.filters.policy import CALIBRATED
from translation.languages import ENGLISH, languages
from translation.mix_folder import DATA, TRAIN, VALIDATION
from translation.model import SMALL
from translation.row import UNDETERMINED

if TYPE_CHECKING:
    from pipelines.manifest import Manifest

"""Its name in a mix."""

ALL = "all"
"""The configuration with every language, the default one."""

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
    (100_000_000, "10M<n<100M"),
    (1_000_000_000, "100M<n<1B"),
)
_LARGEST = "1B<n<10B"

_CATEGORIES = MappingProxyType(
    {
        "caption": "image-to-text",
        "vqa": "visual-question-answering",
        "reason": "visual-question-answering",
        "classify": "image-classification",
        "text": "text-generation",
    }
)
"""Task of a source -> the hub's category, https://huggingface.co/tasks; `image-text-to-text` fits all."""

_LICENCES = frozenset(
    {
        "afl-3.0",
        "apache-2.0",
        "bsd-3-clause",
        "cc-by-2.0",
        "cc-by-3.0",
        "cc-by-4.0",
        "cc-by-nc-2.0",
        "cc-by-nc-4.0",
        "cc-by-nc-nd-4.0",
        "cc-by-nc-sa-4.0",
        "cc-by-nd-4.0",
        "cc-by-sa-3.0",
        "cc-by-sa-4.0",
        "cc0-1.0",
        "mit",
        "odc-by",
        "odbl",
        "pddl",
    }
)
"""Those of https://huggingface.co/docs/hub/repositories-licenses that data has; another one is `other`."""


def dataset_card(
    manifest: Manifest, recipe: Recipe, licences: Mapping[str, str], preview: Sequence[PreviewRow] = ()
) -> str:
    """The README.md of a mix.

    Args:
        manifest: of the finished mix.
        recipe: that it was made by.
        licences: what it was made with and from (`model small`, `source coco`) -> its licence.
        preview: rows to show.
    """
    front = yaml.safe_dump(
        _front_matter(manifest, recipe.name, licences),
        allow_unicode=True,
        sort_keys=False,
        default_flow_style=False,
    )
    sections = (
        f"# {recipe.name}",
        _introduction(manifest),
        _preview(preview),
        _loading(manifest),
        _figures(manifest),
        left_out_line(manifest.left_out) if manifest.left_out else "",
        _making(manifest),
        _limits(manifest, recipe),
        _licences(manifest, licences),
        _citation(manifest),
    )
    return f"---\n{front}---\n\n" + "\n\n".join(section for section in sections if section) + "\n"


def _front_matter(manifest: Manifest, name: str, licences: Mapping[str, str]) -> dict[str, Any]:
    present = sorted({file.language for file in manifest.files if file.accepted})
    # Where nothing was accepted, one that finds nothing: without any, `datasets` would load the rejects.
    everything = {file.split for file in manifest.files if file.accepted} or {TRAIN}
    configs = [{"config_name": ALL, "default": True, "data_files": _data_files("*", everything)}]
    for code in present:
        splits = {file.split for file in manifest.files if file.accepted and file.language == code}
        configs.append({"config_name": code, "data_files": _data_files(code, splits)})
    spoken = {*present, *(count.language for count in _asked(manifest))}
    tags = [languages()[code].bcp47 for code in spoken if code in languages()]
    sources = [str(source["name"]) for source in manifest.recipe.get("sources", ())]
    front = {
        "pretty_name": name,
        # The hub knows languages without their script.
        "language": sorted({tag.split("-")[0] for tag in tags}),
        "language_details": sorted(tags),
        "multilinguality": ["multilingual", "translation"] if len(spoken) > 1 else ["monolingual"],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["found", "machine-generated"],
        **_licence(licences),
        "source_datasets": sources,
        "task_categories": _categories(manifest),
        "tags": ["multilingual", "image-text-to-text", "machine-translated", "translate-mix"],
        "size_categories": [_size(manifest.accepted)],
        "configs": configs,
    }
    return {key: value for key, value in front.items() if value != []}


def _licence(licences: Mapping[str, str]) -> dict[str, str]:
    """The one licence of all parts, if the hub has a name for it; else `other`, with what each part says."""
    names = {licence.strip().lower().replace(" ", "-") for licence in licences.values()}
    if len(names) == 1 and names <= _LICENCES:
        return {"license": names.pop()}
    details = "; ".join(f"{part}: {' '.join(licence.split())}" for part, licence in licences.items())
    return {"license": "other", "license_name": "see-licences"} | (
        {"license_details": details} if details else {}
    )


def _categories(manifest: Manifest) -> list[str]:
    tasks = [task for source in manifest.recipe.get("sources", ()) for task in source.get("tasks", ())]
    return ["image-text-to-text", *dict.fromkeys(_CATEGORIES[task] for task in tasks if task in _CATEGORIES)]


def _data_files(folder: str, splits: set[str]) -> list[dict[str, str]]:
    """Patterns of the splits that exist; a pattern that matches nothing would make `datasets` fail."""
    return [
        {"split": split, "path": f"{DATA}/{folder}/{split}-*.parquet"}
        for split in (TRAIN, VALIDATION)
        if split in splits
    ]


def _size(rows: int) -> str:
    return next((name for limit, name in _SIZES if rows < limit), _LARGEST)


def _introduction(manifest: Manifest) -> str:
    accepted = [count for count in manifest.counts if count.accepted]
    english = next((count.accepted for count in accepted if count.language == ENGLISH), 0)
    share = f" ({english / manifest.accepted:.0%} of them English)" if manifest.accepted else ""
    return (
        f"Images with prompts and target texts in {counted(len(accepted), 'language')}: "
        f"{counted(manifest.accepted, 'row')}{share}. English image-text data was spread over the languages, "
        f"translated by machine, and filtered.{_of_questions(manifest)} Every row keeps the English it "
        "came from, its scores and its verdict."
    )


def _of_questions(manifest: Manifest) -> str:
    """That rows with English answers have questions in other languages, if there are such."""
    asked = _asked(manifest)
    if not asked:
        return ""
    return (
        " Rows count by the language of their target; "
        f"{sum(count.accepted for count in asked):,} of the English ones have a question in "
        f"{'another language' if len(asked) == 1 else f'one of {len(asked)} other languages'} "
        "(`question_language`)."
    )


def _asked(manifest: Manifest) -> list[LanguageCounts]:
    """Languages of questions with English answers that were accepted."""
    return [count for count in manifest.questions if count.accepted]


def _loading(manifest: Manifest) -> str:
    codes = sorted(count.language for count in manifest.counts if count.accepted)
    if not codes:
        return "No row was accepted: there is nothing to load. `rejected/` holds every row with its reason."
    code = next((code for code in codes if code != ENGLISH), codes[0])
    where, picture = "", "a PIL image"
    if manifest.images:
        where, picture = _LOOKED_UP, "{'bytes': None, 'path': ID}"
    elif manifest.recipe.get("images") == REFERENCE:
        where, picture = _ELSEWHERE, "a PIL image, while its file is there"
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


_ELSEWHERE = """\
**The pictures are not in this data set.** A row has the path of its own where the mix was made.

"""

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


def _preview(rows: Sequence[PreviewRow]) -> str:
    if not rows:
        return ""
    texts = [(row.language, *map(markdown, (row.prompt, row.source_target, row.target))) for row in rows]
    lines = [f"| {' | '.join(cells)} |" for cells in texts]
    return "\n".join(
        ["## Preview", "", "| language | prompt | target in English | target |", "|---|---|---|---|", *lines]
    )


def _figures(manifest: Manifest) -> str:
    everything = total(manifest.counts)
    counts = sorted(manifest.counts, key=lambda count: (count.language == UNDETERMINED, count.language))
    return "\n\n".join(
        [
            "## Figures",
            f"{counted(everything.read, 'row')} read = {everything.accepted:,} accepted + "
            f"{everything.rejected:,} rejected"
            + (f": {_share(everything.accepted, everything.read)} were kept." if everything.read else "."),
            *_reasons(everything),
            *_folded(f"Rows of {counted(len(counts), 'language')}", counts),
            *_folded("Rows with English answers by the language of their question", manifest.questions),
        ]
    )


def _folded(title: str, counts: Sequence[LanguageCounts]) -> list[str]:
    """A table of languages that a click opens; nothing without languages."""
    if not counts:
        return []
    lines = [
        "| code | language | read | accepted | rejected | kept | commonest reason |",
        "|---|---|--:|--:|--:|--:|---|",
        *(_row(count, count.language, language_name(count.language)) for count in counts),
        _row(total(counts), "**total**", ""),
    ]
    return [f"<details>\n<summary>{title}</summary>", "\n".join(lines), "</details>"]


def _reasons(everything: LanguageCounts) -> list[str]:
    """A table of the rules that rejected, the commonest first; none where nothing was rejected."""
    rules = sorted(everything.reasons.items(), key=lambda item: (-item[1], item[0]))
    if not rules:
        return []
    lines = [f"| {_cell(rule)} | {rows:,} | {_share(rows, everything.read)} |" for rule, rows in rules]
    return ["\n".join(["| rejected for | rows | of all read |", "|---|--:|--:|", *lines])]


def _row(count: LanguageCounts, code: str, name: str) -> str:
    reason = count.commonest_reason or ""
    kept = _share(count.accepted, count.read)
    cells = (code, name, f"{count.read:,}", f"{count.accepted:,}", f"{count.rejected:,}", kept, reason)
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else ""


def _cell(text: str) -> str:
    """Text that neither ends a table cell nor its line."""
    return " ".join(text.split()).replace("|", "\\|")


def _making(manifest: Manifest) -> str:
    signature = manifest.signature
    steps = [
        f"translate-mix {signature.version}, recipe `{signature.recipe}`, seed {signature.seed}",
        f"translation: {signature.model} (`{signature.model_digest}`) on {signature.engine}, "
        f"{signature.decoding}",
        f"language identification: {signature.identification} (`{signature.identification_digest}`)",
    ]
    if signature.quality:
        steps.append(f"trained judges: {signature.quality}")
    steps += [step for step in map(str, _settings(manifest.recipe)) if step]
    return (
        "## How it was made\n\n"
        + "\n".join(f"- {step}" for step in steps)
        + f"\n\nSignature: `{signature}`\n\n"
        "The same signature and the same source data give the same rows. `manifest.json` lists every file "
        "with its number of rows and SHA-256, and holds the whole recipe."
    )


_ROUND_TRIPS = MappingProxyType(
    {
        "none": "no text was translated back",
        "short": "short answers were translated back into English and compared",
        "all": "every text was translated back into English and compared",
    }
)


def _settings(recipe: Mapping[str, Any]) -> list[str]:
    """What of the recipe decides on how good the texts are, in words."""
    told = []
    if isinstance(recipe.get("languages"), Mapping):
        told.append(f"languages: {_policy(recipe['languages'])}")
        own = [source for source in recipe.get("sources", ()) if source.get("languages")]
        told += [f"languages of {source['name']}: {_policy(source['languages'])}" for source in own]
    if "round_trip" in recipe:
        told.append(f"round trip: {_ROUND_TRIPS[recipe['round_trip']]}")
    if "filters" in recipe:
        fitted, fixed = _bounds(recipe["filters"])
        told.append(
            "filters with bounds fitted per language on human translations: " + (", ".join(fitted) or "none")
        )
        told.append("filters with one bound for all: " + (", ".join(fixed) or "none"))
    if recipe.get("validation"):
        told.append(f"held out by picture for validation: {recipe['validation']:.1%}")
    return told


def _policy(policy: Mapping[str, Any]) -> str:
    """`40% English, the rest proportional (alpha 0.3), at most 5% each, 2 for each example`."""
    english, shares = policy.get("english_share"), policy.get("weights")
    parts = [] if english is None else [f"{english:.0%} English"]
    if shares is not None:
        spread = shares if isinstance(shares, str) else "by weights of the recipe"
        exponent = f" (alpha {policy['alpha']:g})" if shares == PROPORTIONAL and "alpha" in policy else ""
        parts.append(f"the rest {spread}{exponent}")
    for key, words in (("floor", "at least"), ("cap", "at most")):
        if policy.get(key):
            parts.append(f"{words} {100 * policy[key]:g}% each")
    if policy.get("per_example", 1) > 1:
        parts.append(f"{policy['per_example']} for each {policy.get('unit', 'example')}")
    return ", ".join(parts)


def _not_translated(recipe: Recipe) -> str:
    """What of the mix no machine translated, in a sentence; empty where that is nothing."""
    named = [source.name for source in recipe.sources if isinstance(source, ImagenetSource)]
    own = [source.name for source in recipe.sources if source.stays_in_own_language]
    parts = [
        f"the names of classes of {', '.join(named)}, which come from its table" if named else "",
        f"the texts of {', '.join(own)}, which are in their own language" if own else "",
    ]
    told = ", and ".join(part for part in parts if part)
    return f" Not so {told}." if told else ""


def _bounds(filters: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Names of the rules whose bounds are fitted, and those with a number, such as `placeholders >= 1`."""
    fitted, fixed = [], []
    for rule, bounds in filters.items():
        if CALIBRATED in bounds.values():
            fitted.append(f"`{rule}`")
        for side, sign in (("min", "≥"), ("max", "≤")):
            if isinstance(bounds.get(side), int | float):
                fixed.append(f"`{rule}` {sign} {bounds[side]:g}")
    return fitted, fixed


def _limits(manifest: Manifest, recipe: Recipe) -> str:
    limits = [
        "Texts outside English are machine translations that passed automatic filters; no person read them."
        f"{_not_translated(recipe)} "
        "Filters find wrong languages, copies, loops and lost text better than wrong words.",
        "Quality differs between languages, and scores of different languages cannot be compared. A share "
        "that was kept says what the filters saw, not how good the rest is.",
        "What filters do not see: a wrong word in a fluent sentence, a wrong gender, number or tense, a name "
        "that was translated, a register that does not fit.",
        "The pictures and texts have the biases of their English sources; names and customs stayed.",
    ]
    if manifest.signature.model == SMALL:
        limits.insert(
            0,
            "**Made with the small model, a stand-in for trying things out** that learnt a few names. "
            "Do not train on this; build the mix with an NLLB model.",
        )
    elif _is_nllb(manifest):
        limits.append(
            "NLLB's weights are for research and not for commercial use, and its authors advise against use "
            "in production, for domains such as medicine or law, and for long documents."
        )
    without = sorted(
        language_name(count.language)
        for count in manifest.counts
        if not count.accepted and count.language != UNDETERMINED
    )
    if without:
        limits.append(f"No row was accepted in: {', '.join(without)}.")
    unasked = sorted(language_name(count.language) for count in manifest.questions if not count.accepted)
    if unasked:
        limits.append(f"No question with an English answer was accepted in: {', '.join(unasked)}.")
    return "## Known limits\n\n" + "\n".join(f"- {limit}" for limit in limits)


def _is_nllb(manifest: Manifest) -> bool:
    return "nllb" in manifest.signature.model.lower()


def _licences(manifest: Manifest, licences: Mapping[str, str]) -> str:
    nllb = " NLLB's weights are CC-BY-NC-4.0." if _is_nllb(manifest) else ""
    lines = [f"| {markdown(part)} | {markdown(licence)} |" for part, licence in licences.items()]
    return (
        "## Licences\n\n"
        + "| made with, made from | licence |\n|---|---|\n"
        + "\n".join(lines)
        + "\n\nA translation has the licence of its source; the licence of the model may bind its output "
        f"too.{nllb}"
    )


def _citation(manifest: Manifest) -> str:
    nllb = _NLLB if _is_nllb(manifest) else ""
    software = _SOFTWARE.replace("VERSION", manifest.signature.version)
    return f"## Citation\n\n```bibtex\n{software}{_MBLIP}{nllb}```"


_SOFTWARE = """\
@software{translate_mix,
  title = {translate-mix: English image-text data into a filtered, documented mix in 95 languages},
  version = {VERSION}
}
"""
_MBLIP = """\
@inproceedings{geigle2024mblip,
  title = {{mBLIP}: Efficient Bootstrapping of Multilingual Vision-{LLM}s},
  author = {Geigle, Gregor and Jain, Abhay and Timofte, Radu and Glava{\\v{s}}, Goran},
  booktitle = {Proceedings of the 3rd Workshop on Advances in Language and Vision Research (ALVR)},
  year = {2024},
  note = {arXiv:2307.06930}
}
"""
_NLLB = """\
@article{nllb2022,
  title = {No Language Left Behind: Scaling Human-Centered Machine Translation},
  author = {{NLLB Team} and others},
  journal = {arXiv preprint arXiv:2207.04672},
  year = {2022}
}
"""
