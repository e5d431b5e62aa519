from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from training.pictures import BLIP2_MEAN, BLIP2_STD, PictureSettings
from training.preprocessing import Preprocessing, PreprocessingError, read_preprocessing, write_preprocessing


@pytest.mark.parametrize(
    ("values", "size"),
    [
        ({"size": {"height": 28, "width": 42}}, (28, 42)),
        (
            {
                "size": {"shortest_edge": 256},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
            },
            (224, 224),
        ),
        ({"size": {"shortest_edge": 336}, "do_center_crop": False, "crop_size": 224}, (336, 336)),
        ({"size": 384}, (384, 384)),
        ({}, (224, 224)),
    ],
)
def test_the_size_is_what_pictures_have_at_the_end(
    tmp_path: Path, values: dict[str, Any], size: tuple[int, int]
) -> None:
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    pictures = read_preprocessing(tmp_path).pictures
    assert (pictures.height, pictures.width) == size


def test_newer_checkpoints_have_it_in_the_processors_file(tmp_path: Path) -> None:
    values = {"image_processor": {"size": {"height": 30, "width": 30}, "image_mean": [0.5, 0.5, 0.5]}}
    (tmp_path / "processor_config.json").write_text(json.dumps(values))
    found = read_preprocessing(tmp_path)
    assert found.pictures.height == 30
    assert found.mean == (0.5, 0.5, 0.5)
    assert found.std == BLIP2_STD
    # Margins are what normalisation turns into about zero.
    assert found.pictures.margin == (128, 128, 128)


def test_without_normalisation_pixels_are_from_0_to_1(tmp_path: Path) -> None:
    values = {"do_normalize": False, "image_mean": [0.5, 0.5, 0.5]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    found = read_preprocessing(tmp_path)
    assert (found.mean, found.std) == ((0, 0, 0), (1, 1, 1))


def test_without_files_pictures_are_blip2s(tmp_path: Path) -> None:
    assert read_preprocessing(tmp_path) == Preprocessing(PictureSettings(), BLIP2_MEAN, BLIP2_STD)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "damaged"),
        ('{"size": "large"}', "size: 'large' says no height and width"),
        ('{"image_mean": [0.5]}', r"image_mean: \[0.5\] is no list of three numbers"),
        ('{"do_flip_channel_order": true}', "do_flip_channel_order: blue before red"),
        ('{"do_rescale": false}', "do_rescale: pixels from 0 to 255"),
        ('{"rescale_factor": 0.5}', "rescale_factor: 0.5, where only 1/255"),
    ],
)
def test_a_file_that_cannot_be_used_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text)
    with pytest.raises(PreprocessingError, match=rf"preprocessor_config\.json: {told}"):
        read_preprocessing(tmp_path)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    made = Preprocessing(
        PictureSettings(height=28, width=42, margin=(128, 128, 128)), (0.5,) * 3, (0.25,) * 3
    )
    write_preprocessing(tmp_path, made, queries=None)
    assert read_preprocessing(tmp_path) == made


def test_transformers_prepares_pictures_the_same_way(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image
    from transformers import BlipImageProcessorPil

    write_preprocessing(tmp_path, Preprocessing(PictureSettings(height=20, width=20)), queries=4)
    processor = BlipImageProcessorPil.from_pretrained(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    theirs = processor(Image.fromarray(pixels), return_tensors="pt")["pixel_values"]
    ours = read_preprocessing(tmp_path).normalise(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)
