"""The split by things, and the files that the mix and the evaluation read."""

from __future__ import annotations

import json
from collections import Counter
from itertools import count
from pathlib import Path

import pytest
from PIL import Image

from evaluation.questions import questions_of
from evaluation.tasks import read_task
from pipelines.recipe import checked_recipe
from scripts.miniature import data
from scripts.miniature.pictures import LONGEST_SIDE, Picture, held_out, thing, write_on_white
from translation.settings_file import read_settings_file

ROOT = Path(__file__).parents[3]
UNSEEN = next(name for number in count() if held_out(name := f"thing {number}"))
SEEN = next(name for number in count() if not held_out(name := f"thing {number}"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A spider.", "spider"),
        ("Some cherries.", "A pair of cherries."),
        ("man detective", "woman detective"),
        ("person rowing boat", "man rowing boat"),
        ("old woman", "Old Woman"),
    ],
)
def test_drawings_of_a_thing_and_men_and_women_fall_together(one: str, other: str) -> None:
    assert thing(one) == thing(other)


def test_a_caption_of_nothing_else_is_its_own_thing() -> None:
    assert [thing("A man."), thing("A woman."), thing("…")] == ["man", "woman", "…"]


def test_one_thing_in_eight_is_held_out() -> None:
    assert sum(held_out(f"thing {number}") for number in range(8000)) == pytest.approx(1000, rel=0.1)


def test_pictures_lie_on_white_and_are_not_large(tmp_path: Path) -> None:
    picture = Image.new("RGBA", (2 * LONGEST_SIDE, LONGEST_SIDE), (255, 0, 0, 0))
    picture.putpixel((0, 0), (255, 0, 0, 255))
    picture.save(tmp_path / "a.webp", lossless=True)
    write_on_white(tmp_path / "a.webp", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as written:
        assert (written.mode, written.size) == ("RGB", (LONGEST_SIDE, LONGEST_SIDE // 2))
        assert written.getpixel((LONGEST_SIDE - 1, 3)) == (255, 255, 255)


def picture(tmp_path: Path, source: str, name: str) -> Picture:
    file = tmp_path / "source.png"
    if not file.exists():
        Image.new("RGB", (4, 4), "red").save(file)
    slug = name.replace(" ", "-")
    return Picture(f"{source}-{slug}", file, name, {"deu_Latn": (f"das {name}", "Ding")}, source, "MIT")


def test_things_are_held_out_in_every_drawing_and_twemoji_shows_trained_things(tmp_path: Path) -> None:
    pictures = [picture(tmp_path, source, name) for source in ("noto", "twemoji") for name in (SEEN, UNSEEN)]
    alone = picture(tmp_path, "twemoji", next(n for i in range(99) if not held_out(n := f"new {i}")))
    trained, unseen = data.split([*pictures, alone], drawings=5)
    assert [one.id for one in trained] == [f"noto-{SEEN.replace(' ', '-')}"]
    assert Counter((kind, one.source, one.english) for kind, one in unseen) == Counter(
        [("things", "noto", UNSEEN), ("things", "twemoji", UNSEEN), ("drawings", "twemoji", SEEN)]
    )
    assert {kind for kind, _ in data.split(pictures, drawings=0)[1]} == {"things"}


def test_the_files_are_what_the_recipe_and_the_tasks_read(tmp_path: Path) -> None:
    output = tmp_path / "data"
    pictures = [picture(tmp_path, source, name) for source in ("noto", "twemoji") for name in (SEEN, UNSEEN)]
    assert data.write(pictures, output, drawings=5) == (1, {"things": 2, "drawings": 1})
    [row] = [json.loads(line) for line in (output / "captions.jsonl").read_text().splitlines()]
    slug = SEEN.replace(" ", "-")
    assert row == {
        "id": f"noto-{slug}",
        "image": f"pictures/noto-{slug}.png",
        "caption": SEEN,
        "source": "noto",
        "licence": "MIT",
    }
    rows = [json.loads(line) for line in (output / "references.jsonl").read_text().splitlines()]
    assert {(row["kind"], row["source"], *row["captions"]["deu_Latn"]) for row in rows} == {
        ("things", "noto", f"das {UNSEEN}", "Ding"),
        ("things", "twemoji", f"das {UNSEEN}", "Ding"),
        ("drawings", "twemoji", f"das {SEEN}", "Ding"),
    }
    assert all((output / row["image"]).exists() for row in rows)
    overrides = [f"root={output}", "languages=[eng_Latn, deu_Latn]"]
    for kind, number in (("things", 2), ("drawings", 1)):
        found = questions_of(read_task(ROOT / f"scripts/miniature/{kind}.yaml", overrides))
        assert found.counts == {"eng_Latn": number, "deu_Latn": number}
        assert not found.problems


def test_the_recipe_asks_for_the_languages_of_the_tasks() -> None:
    recipe = checked_recipe(read_settings_file(ROOT / "recipes/miniature.yaml"))
    for kind in ("things", "drawings"):
        task = read_task(ROOT / f"scripts/miniature/{kind}.yaml").task
        assert task.languages is not None
        assert set(task.languages) == {"eng_Latn", *recipe.languages.codes}
