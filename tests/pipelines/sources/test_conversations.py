"""Conversations of every layout become the same pairs; what is none is a bad record."""

from __future__ import annotations

from typing import Any

import pytest

from pipelines.sources.conversations import Item, marked, turns
from pipelines.sources.values import BadRecord

PAIRS = [Item("#0", "A dog.", "What is it?"), Item("#1", "Brown.", "Which colour?")]
LLAVA = [
    {"from": "human", "value": "<image>\nWhat is it?"},
    {"from": "gpt", "value": "A dog."},
    {"from": "human", "value": "Which colour?"},
    {"from": "gpt", "value": "Brown."},
]
CHAT = [
    {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "A dog."}]},
    {"role": "user", "content": "Which colour?"},
    {"role": "assistant", "content": ["Brown."]},
]
SYSTEM = {"role": "system", "content": "You are helpful."}
CAULDRON = [
    {"user": "What is it?", "assistant": "A dog.", "source": "VQA"},
    {"user": "Which colour?", "assistant": "Brown.", "source": "VQA"},
]
# Parquet fills what a turn or a part lacks with nulls.
NULLS = {"from": None, "value": None, "role": None, "content": None}
SHOWN = [{"type": "image", "text": None}, {"type": "text", "text": "What is it?"}]
PADDED = [
    {**NULLS, "role": "user", "content": SHOWN},
    {**NULLS, "role": "assistant", "content": [{"type": "text", "text": "A dog."}]},
    *({**NULLS, **turn} for turn in LLAVA[2:]),
]


def in_lists(said: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [one[key] for one in said] for key in said[0]}


@pytest.mark.parametrize(
    "said",
    [LLAVA, CHAT, [SYSTEM, *CHAT], CAULDRON, PADDED, in_lists(LLAVA), in_lists(CHAT), in_lists(CAULDRON)],
    ids=["llava", "chat", "system", "cauldron", "padded", "llava-lists", "chat-lists", "cauldron-lists"],
)
def test_all_layouts_say_the_same(said: Any) -> None:
    assert list(turns(said, "c", together=False)) == PAIRS
    assert list(turns(said, "c", together=True)) == PAIRS


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ([SYSTEM], "conversation 'c' is empty"),
        ([*CHAT[:2], SYSTEM, CHAT[2]], "turn 2 is by 'system', must be by human or user"),
        ({}, "is an object, must be a list"),
        ({"from": ["human", "gpt"], "value": ["Q?"]}, "is an object, must be a list"),
        ({"from": "human", "value": "Q?"}, "is an object, must be a list"),
        ([{"user": "Q?"}], "turn 0 has neither `from` nor `role`, nor `user` and `assistant`"),
        ([{"from": None, "value": "Q?"}], "turn 0 is by 'null'"),
        ([{"role": "user", "content": [{"type": "audio"}]}, CHAT[1]], "turn 0 has a part of type 'audio'"),
        ([{"role": "user", "content": [3]}, CHAT[1]], "turn 0 has a part of type a number"),
        ([{"role": "user", "content": [{"type": "image"}] * 2}, CHAT[1]], "2 marks `<image>`"),
    ],
)
def test_what_is_no_conversation_is_told(said: Any, words: str) -> None:
    with pytest.raises(BadRecord) as caught:
        list(turns(said, "c", together=False))
    assert words in str(caught.value)


def test_an_empty_side_is_told_by_its_place() -> None:
    asked, answered = turns(
        [{"user": "", "assistant": "A."}, {"user": "Q?", "assistant": " "}], "c", together=False
    )
    assert (asked.fault, answered.fault) == ("turn 0 is empty", "the answer of turn 1 is empty")
    _, after = turns([{"user": "", "assistant": "A."}, *CAULDRON[:1]], "c", together=True)
    assert after.fault == "turn 0 or its answer, which was said before, cannot be used"


def test_marks_are_found_wherever_they_stand() -> None:
    assert all(map(marked, [LLAVA, CHAT, in_lists(LLAVA), "<image> Q?"]))
    assert not any(map(marked, [LLAVA[1:], CAULDRON, None, "Q?", [SYSTEM], 3]))


def test_an_answer_before_the_first_question_is_left_out() -> None:
    assert list(turns([LLAVA[1], *LLAVA], "c", together=False)) == PAIRS
    assert list(turns([SYSTEM, CHAT[1], *CHAT], "c", together=False)) == PAIRS


def test_a_mark_in_an_answer_spoils_that_pair_alone() -> None:
    said = [*LLAVA[:3], {"from": "gpt", "value": "In <image> it is brown."}]
    first, second = turns(said, "c", together=False)
    assert first == PAIRS[0]
    assert second.fault == "turn 3 has a mark `<image>`, which stands for a picture"
