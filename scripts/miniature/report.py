"""What the miniature's two arms came to: tables, curves and sample pictures for docs/miniature.md.

python -m scripts.miniature.report --runs build/miniature/runs --results build/miniature/results \\
    --data build/miniature/few --output docs/miniature

RUNS holds `multi/` and `english/`, as `realign train` left them; RESULTS `<arm>-<set>.json`, as
`realign evaluate` wrote them for the sets `drawings`, `english` (more drawings, in English alone) and
`things`, those that are there. Needs matplotlib.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from evaluation.results import read_result
from evaluation.scores import Estimate
from training.figures import METRICS, read_figures
from translation.languages import ENGLISH, resolve

ARMS = {"multi": "multilingual mix", "english": "English-only mix"}
SETS = {
    "drawings": "another drawing of a trained thing",
    "english": "all such drawings, in English",
    "things": "a thing never seen",
}
METRIC_NAMES = {"chrf++": "chrF++", "cider": "CIDEr", "fidelity": "in the asked language, %"}
SAMPLES = 6
SHOWN = ("eng_Latn", "deu_Latn", "spa_Latn", "rus_Cyrl", "jpn_Jpan", "kor_Hang")


def main() -> int:
    """Writes `tables.md`, `curves.svg`, `samples.md` and the pictures that it shows."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("runs", "results", "data", "output"):
        options.add_argument(f"--{name}", type=Path, required=True)
    parsed = options.parse_args()
    parsed.output.mkdir(parents=True, exist_ok=True)
    curves(parsed.runs, parsed.output / "curves.svg")
    present = [name for name in SETS if (parsed.results / f"multi-{name}.json").exists()]
    text = "\n".join(table(parsed.results, name) for name in present)
    (parsed.output / "tables.md").write_text(text, encoding="utf-8")
    (parsed.output / "samples.md").write_text(
        samples(parsed.results, parsed.data, parsed.output), encoding="utf-8"
    )
    return 0


def table(results: Path, name: str) -> str:
    """Metrics by language, an arm beside the other."""
    scores = {
        arm: {one.name: one for one in read_result(results / f"{arm}-{name}.json").metrics} for arm in ARMS
    }
    head = [f"{METRIC_NAMES[metric]}: {arm}" for metric in METRIC_NAMES for arm in ARMS.values()]
    lines = [f"**Held out: {SETS[name]}**", "", "| language | " + " | ".join(head) + " |"]
    lines.append("|---|" + "---:|" * len(head))
    codes = sorted(scores["multi"]["chrf++"].languages)
    for code in [ENGLISH, *(code for code in codes if code != ENGLISH)]:
        cells = [_shown(scores[arm][metric].languages[code]) for metric in METRIC_NAMES for arm in ARMS]
        lines.append(f"| {resolve(code).name} | " + " | ".join(cells) + " |")
    if codes != [ENGLISH]:
        means = [f"**{_shown(scores[arm][metric].macro)}**" for metric in METRIC_NAMES for arm in ARMS]
        lines.append("| **mean without English** | " + " | ".join(means) + " |")
    return "\n".join([*lines, ""])


def _shown(estimate: Estimate) -> str:
    return "-" if estimate.value is None else f"{estimate.value:.1f}"


def curves(runs: Path, output: Path) -> None:
    """Loss of training and on held-out rows, by step."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    for arm, colour in zip(ARMS, ("tab:blue", "tab:orange"), strict=True):
        lines = read_figures(runs / arm / METRICS)
        for kind, style in (("train", "-"), ("validation", "o--")):
            points = [(line["step"], line["loss"]) for line in lines if line["kind"] == kind]
            label = f"{ARMS[arm]}, {'held-out rows' if kind == 'validation' else 'training'}"
            axes.plot(*zip(*points, strict=True), style, color=colour, label=label, linewidth=1)
    axes.set(xlabel="step of 16 examples", ylabel="loss per target token, nats", ylim=(0, 8))
    axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(output, metadata={"Date": None})


def samples(results: Path, data: Path, output: Path) -> str:
    """Pictures with what both arms say of them in some languages, and what people say."""
    said = {arm: _predictions(results / f"{arm}-drawings.predictions.jsonl") for arm in ARMS}
    pictures = output / "pictures"
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir()
    lines: list[str] = []
    references = [json.loads(line) for line in (data / "references.jsonl").read_text("utf-8").splitlines()]
    drawings = [
        one
        for one in references
        if one["kind"] == "drawings"
        and set(SHOWN) <= set(one["captions"])
        and all((one["id"], ENGLISH) in found for found in said.values())
    ]
    if not drawings:
        raise ValueError(f"{data}: none of its drawings was captioned in {results}")
    # Evenly from all, not the best.
    for one in drawings[:: max(1, len(drawings) // SAMPLES)][:SAMPLES]:
        source = data / one["image"]
        shutil.copy(source, pictures / source.name)
        name = one["captions"][ENGLISH][0]
        lines += [f'<img src="miniature/pictures/{source.name}" width="72" alt="{name}">', ""]
        lines.append(_row("", [resolve(code).name for code in SHOWN]))
        lines.append("|---|" + "---|" * len(SHOWN))
        for arm, title in ARMS.items():
            lines.append(_row(title, [said[arm].get((one["id"], code), "") for code in SHOWN]))
        lines += [_row("people", [one["captions"][code][0] for code in SHOWN]), ""]
    return "\n".join(lines)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _predictions(path: Path) -> dict[tuple[str, str], str]:
    found = {}
    # As bytes: texts may hold further characters that end lines.
    for line in path.read_bytes().splitlines():
        values = json.loads(line)
        found[values["id"], values["language"]] = values.get("prediction") or ""
    return found


if __name__ == "__main__":
    raise SystemExit(main())
