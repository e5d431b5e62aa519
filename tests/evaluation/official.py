"""Small benchmarks in their official layouts, with pictures, and models that answer by a rule."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from tests.pictures import encoded
from training.asking import BadPrompt, Generation, Likelihood, Request
from training.pictures import BadPicture, PictureSettings, decode

EXCERPTS = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Real excerpts, on machines that have them."""


def png(number: int) -> bytes:
    """A picture of its own for each number."""
    return encoded(Image.new("RGB", (8, 8), (number * 37 % 256, number * 91 % 256, number % 256)))


def put_picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(number))


def put_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def put_lines(path: Path, records: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records)
    path.write_text(text, encoding="utf-8")


def xgqa(root: Path, languages: Sequence[str] = ("en", "de"), count: int = 6) -> None:
    """Questions about `count` pictures; the answers are `yes` and `no` in turn."""
    for code in languages:
        questions = {
            str(1000 + number): {
                "question": f"Is it {code} {number}?",
                "imageId": f"n{number}",
                "answer": "no" if number % 2 else "yes",
            }
            for number in range(count)
        }
        put_json(root / f"xgqa/zero_shot/testdev_balanced_questions_{code}.json", questions)
    for number in range(count):
        put_picture(root / f"gqa/images/n{number}.jpg", number)


@dataclass
class Rule:
    """Answers by a function of the request; decodes the pictures as a real model does."""

    rule: Callable[[Request], str]
    digest: str = "rule"
    asked: list[Request] = field(default_factory=list)
    device: str = "cpu"
    longest: int = 10_000
    """Letters of a prompt; longer ones count as cut."""
    settings: list[Generation] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)

    @property
    def computed_with(self) -> dict[str, str]:
        return {"device": self.device, "precision": "float32", "quantization": "none"}

    def cut_prompts(self, requests: Sequence[Request]) -> list[bool]:
        return [len(request.prompt) > self.longest for request in requests]

    def answers(
        self, requests: Sequence[Request], settings: Generation
    ) -> list[str | BadPicture | BadPrompt]:
        self.asked += requests
        self.settings.append(settings)
        self.batches.append(len(requests))
        return [_bad(request) or self.rule(request) for request in requests]

    def choice_scores(
        self, requests: Sequence[Request], choices: Sequence[Sequence[str]]
    ) -> list[list[Likelihood] | BadPicture | BadPrompt]:
        """The rule's answer is the likeliest; others by how long they are."""
        self.asked += requests
        self.batches.append(len(requests))
        return [
            _bad(request)
            or [Likelihood(0.0 if one == self.rule(request) else -float(len(one)), 2) for one in own]
            for request, own in zip(requests, choices, strict=True)
        ]


def _bad(request: Request) -> BadPicture | None:
    for picture in request.pictures:
        try:
            decode(picture, PictureSettings())
        except BadPicture as error:
            return error
    return None


def chance(choices: Sequence[str], seed: int = 0) -> Callable[[Request], str]:
    """A rule that answers at random, the same request always the same."""

    def rule(request: Request) -> str:
        pictures = b"".join(request.pictures)
        digest = hashlib.sha256(f"{seed} {request.prompt}".encode() + pictures).digest()
        return choices[digest[0] % len(choices)]

    return rule


def task_yaml(path: Path, **values: Any) -> Path:
    """A task file of these values; JSON is YAML."""
    put_json(path, values)
    return path
