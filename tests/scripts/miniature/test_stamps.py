"""Which stamps of Tux Paint are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from scripts.miniature import stamps


@pytest.mark.parametrize("name", ["symbols/letter", "town/flags/flag", "fruit/long", "fruit/without"])
def test_signs_long_captions_and_pictures_without_any_are_left_out(name: str, tmp_path: Path) -> None:
    root = tmp_path / "debian-tuxpaint-stamps-default/usr/share/tuxpaint/stamps"
    captions = {name: "A thing.", "fruit/apple": "An apple.\nde.utf8=Ein Apfel.\n"}
    captions |= {"fruit/long": "An apple that one of us will eat today."} if name == "fruit/long" else {}
    for path, caption in captions.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / f"{path}.png")
        if path != "fruit/without":
            (root / f"{path}.txt").write_text(caption, encoding="utf-8")
    pictures = list(stamps.read(tmp_path))
    assert [(picture.id, picture.english) for picture in pictures] == [("tuxpaint-fruit-apple", "An apple.")]
    assert pictures[0].captions == {"deu_Latn": ("Ein Apfel.",)}
