from __future__ import annotations

from pathlib import Path

import pytest

from tests.training import tiny
from tests.training.conftest import jpeg
from training.answering import Answering
from training.asking import Generation, Request
from training.picture_files import ANSWER, PictureFileError, ask, caption
from training.weight_files import CheckpointError
from translation.languages import UnknownLanguage

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = Generation(beams=2, max_new_tokens=8)


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    return str(tiny.write_blip2(tmp_path / "checkpoint", "mt5"))


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "one.jpg", tmp_path / "two.jpg"]
    for number, path in enumerate(paths):
        path.write_bytes(jpeg(number))
    return paths


def test_captions_are_asked_for_as_in_training(checkpoint: str, images: list[Path]) -> None:
    said = caption(checkpoint, images, "de", settings=SHORT, device="cpu")
    assert [one.images for one in said] == [(path,) for path in images]
    assert {(one.language, one.prompt) for one in said} == {("deu_Latn", "Describe the image in German.")}
    model = Answering.load(checkpoint, "cpu")
    requests = [
        Request("Describe the image in German.", "eng_Latn", "deu_Latn", (path.read_bytes(),))
        for path in images
    ]
    assert [one.text for one in said] == model.answers(requests, SHORT)


def test_another_template_may_ask(checkpoint: str, images: list[Path]) -> None:
    (said,) = caption(
        checkpoint, images[:1], "German", template="caption-describe-deu_Latn", settings=SHORT, device="cpu"
    )
    assert "{" not in said.prompt
    assert said.prompt.startswith("Beschreib")
    with pytest.raises(ValueError, match="asks for deu_Latn, not for fra_Latn"):
        caption(checkpoint, images, "fr", template="caption-describe-deu_Latn")
    with pytest.raises(ValueError, match="needs a question"):
        caption(checkpoint, images, "fr", template="vqa-short")
    with pytest.raises(ValueError, match="did you mean caption-describe"):
        caption(checkpoint, images, "fr", template="caption-descrbe")


def test_a_question_is_about_all_pictures_at_once(checkpoint: str, images: list[Path]) -> None:
    said = ask(checkpoint, images, " What is this? ", "swh_Latn", device="cpu")
    assert said.prompt == "Question: What is this? Short answer in Swahili:"
    assert said.images == tuple(images)
    pictures = tuple(path.read_bytes() for path in images)
    wanted = Answering.load(checkpoint, "cpu").answers(
        [Request(said.prompt, "eng_Latn", "swh_Latn", pictures)], ANSWER
    )
    assert [said.text] == wanted
    with pytest.raises(ValueError, match="the question is empty"):
        ask(checkpoint, images, "  ", "deu_Latn")
    with pytest.raises(ValueError, match="no place for a question"):
        ask(checkpoint, images, "What?", "deu_Latn", template="caption-describe")
    with pytest.raises(ValueError, match="special token"):
        ask(checkpoint, images, "What </s>?", "deu_Latn", device="cpu")


def test_a_question_that_is_cut_is_told(checkpoint: str, images: list[Path]) -> None:
    question = "What " + "very " * 300 + "long thing is this?"
    assert ask(checkpoint, images[:1], question, "de", settings=SHORT, device="cpu").cut
    assert not ask(checkpoint, images[:1], "What is this?", "de", settings=SHORT, device="cpu").cut


def test_what_is_wrong_shows_before_the_model_is_loaded(tmp_path: Path, images: list[Path]) -> None:
    absent = str(tmp_path / "no-checkpoint")
    with pytest.raises(UnknownLanguage, match="did you mean"):
        caption(absent, images, "deu_Latin")
    with pytest.raises(PictureFileError, match=r"three\.jpg: No such file"):
        caption(absent, [*images, tmp_path / "three.jpg"], "de")
    with pytest.raises(PictureFileError, match="Is a directory"):
        ask(absent, [tmp_path], "What?", "de")
    images[1].write_bytes(jpeg(1)[:300])
    with pytest.raises(PictureFileError, match=r"two\.jpg: broken: "):
        caption(absent, images, "de")
    images[1].write_text("not a picture", encoding="utf-8")
    with pytest.raises(PictureFileError, match=r"two\.jpg: unknown format: "):
        caption(absent, images, "de")
    with pytest.raises(CheckpointError, match="no such directory"):
        caption(absent, images[:1], "de")
