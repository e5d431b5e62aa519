"""LLaVA-Instruct: conversations by turns, with ids that are unique although the files' are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.examples import Text
from pipelines.records import Talk
from pipelines.sources import pieces, read_records
from tests.pipelines.sources.conftest import MakeRecipe, Records, examples, read_all, rejects

SHARED = Path(__file__).parents[3].parent / "shared/data/source/llava"


def turns(*said: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[n % 2], "value": text} for n, text in enumerate(said)]


# As in conversation_58k.json and complex_reasoning_77k.json.
BUS: dict[str, Any] = {
    "id": "000000033471",
    "image": "000000033471.jpg",
    "conversations": turns(
        "What are the colors of the bus in the image?\n<image>",
        "The bus in the image is white and red.",
        "What feature can be seen on the back of the bus?",
        "The back of the bus features an advertisement.",
    ),
}
WHY: dict[str, Any] = {
    "id": "000000033471",
    "image": "000000033471.jpg",
    "conversations": turns("<image>\nWhy is the street crowded?", "It may be rush hour."),
}


def read(folder: Path, make_recipe: MakeRecipe, content: object, **more: Any) -> Records:
    (folder / "l.json").write_text(json.dumps(content))
    return read_all(make_recipe(format="llava", path="l.json", images="images", **more))


_SAID = st.sampled_from(
    [
        *("A dog?", "Yes.", "é", "Two\nlines", " a ", "", "\0", None, 3, "<image>", "a <image> b"),
        *("<image>\n", "\n<image>", "<image>\nA dog?", "A dog?\n<image>", "<image>\nA\n<image>"),
        *("x" * 20_000, "<image>\n" + "x" * 19_995),
    ]
)
_TURNS = st.lists(_SAID, max_size=5).map(lambda said: turns(*said)) | st.lists(  # type: ignore[arg-type]
    st.fixed_dictionaries({}, optional={"from": st.sampled_from(["gpt", "user", [], 1]), "value": _SAID})
)
_OTHER_TURNS = st.sampled_from(
    ["text", 7, [None], [{"role": "user", "content": "A?"}, {"role": "assistant", "content": "B"}]]
)


def _records(conversations: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    names = ["000000033471.jpg", "coco/train2017/000000033471.jpg", "a.jpg", "../a.jpg", 5]
    return st.fixed_dictionaries(
        {"id": st.sampled_from(["a", "b", 7, None, "", []]), "conversations": conversations},
        optional={"image": st.sampled_from(names)},
    )


_PLAIN = _records(_TURNS) | st.sampled_from([BUS, WHY])
_RECORDS = st.lists(_PLAIN, min_size=1, max_size=6) | st.lists(
    _PLAIN | _records(_OTHER_TURNS) | st.just(None), max_size=6
)


@given(_RECORDS, st.booleans())
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_what_many_say_is_what_each_says(
    tmp_path: Path, make_recipe: MakeRecipe, records: list[object], lines: bool
) -> None:
    """`read_all` reads them together and one by one."""
    good = [BUS, WHY]
    if lines:
        text = "\n".join(map(json.dumps, [*good, *records, *good]))
        (tmp_path / "l.json").write_text(text)
        found = read_all(make_recipe(format="llava", path="l.json", images="images"))
    else:
        found = read(tmp_path, make_recipe, [*good, *records, *good])
    assert len(examples(found)) >= 6


def test_a_question_with_its_mark_may_have_20_000_characters(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    texts = ["<image>\n" + "x" * 19_992, "x" * 19_992 + "\n<image>", "<image>\n" + "x" * 19_993]
    found = read(tmp_path, make_recipe, [{**WHY, "conversations": turns(text, "Yes.")} for text in texts])
    assert [len(one.prompt.text) for one in examples(found)] == [19_992, 19_992]
    assert "text of 20,001 characters" in rejects(found)[0].reason


def test_every_turn_is_an_example_without_the_mark(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    first, second = examples(read(tmp_path, make_recipe, [BUS]))
    assert first.prompt == Text("What are the colors of the bus in the image?")
    assert first.target == Text("The bus in the image is white and red.")
    assert second.prompt == Text("What feature can be seen on the back of the bus?")
    assert (first.image_id, second.image_id) == ("33471", "33471")
    assert first.source_id.startswith("000000033471-")
    assert first.source_id.removesuffix("#0") == second.source_id.removesuffix("#1")


def test_turns_can_be_kept_together(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    _, second = examples(read(tmp_path, make_recipe, [BUS], turns="keep"))
    assert second.prompt == Text(
        "What are the colors of the bus in the image?\n\nThe bus in the image is white and red.\n\n"
        "What feature can be seen on the back of the bus?"
    )


def test_kept_turns_do_not_go_on_over_one_that_is_missing(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    said = turns("What is it?", "A bicycle.", "Who rides it?", "", "And how many wheels has it?", "Two.")
    talk = BUS | {"conversations": said}
    records = read(tmp_path, make_recipe, [talk], turns="keep")
    assert [one.prompt for one in examples(records)] == [Text("What is it?")]
    assert [one.reason for one in rejects(records)] == [
        "source: l.json byte 1: turn 3 is empty",
        "source: l.json byte 1: turn 2 or its answer, which was said before, cannot be used",
    ]
    assert len(examples(read(tmp_path, make_recipe, [talk]))) == 2


def test_conversations_of_one_id_get_ids_of_their_own(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    other = {**WHY, "conversations": turns("<image>\nWhy is the street crowded?", "There is a fair.")}
    whole = examples(read(tmp_path, make_recipe, [BUS, WHY, other, WHY]))
    ids = [one.source_id for one in whole]
    assert len(set(ids)) == 4
    assert ids[2] == ids[4]
    part = examples(read(tmp_path, make_recipe, [other, BUS]))
    assert [one.source_id for one in part] == [ids[3], ids[0], ids[1]]


def test_text_alone_has_no_picture(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    # As the rows of ShareGPT in llava_v1_5_mix665k.json.
    record = {"id": "wNBG8Gp_0", "model": "", "conversations": turns("Hi.", "Hello, how are you?")}
    (found,) = examples(read(tmp_path, make_recipe, [record]))
    assert (found.image, found.image_id) == (None, None)
    (reject,) = rejects(
        read(tmp_path, make_recipe, [{**record, "conversations": turns("<image>\nA?", "B.")}])
    )
    assert "`<image>` in the text, but no `image`" in reject.reason


@pytest.mark.parametrize(
    ("image", "there", "image_id"),
    [
        ("000000033471.jpg", "000000033471.jpg", "33471"),
        ("000000033471.jpg", "COCO_train2014_000000033471.jpg", "33471"),
        ("000000033471.jpg", "train2014/COCO_train2014_000000033471.jpg", "33471"),
        ("000000033471.jpg", "train2017/000000033471.jpg", "33471"),
        ("coco/train2017/000000033471.jpg", "coco/train2017/000000033471.jpg", "33471"),
        ("gqa/images/2354786.jpg", "gqa/images/2354786.jpg", "gqa/images/2354786"),
    ],
)
def test_pictures_by_number_or_path(
    tmp_path: Path, make_recipe: MakeRecipe, image: str, there: str, image_id: str
) -> None:
    path = tmp_path / "images" / there
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    (found,) = examples(read(tmp_path, make_recipe, [{**WHY, "image": image}]))
    assert found.image == f"{tmp_path}/images/./{there}"
    assert found.image_id == image_id


def test_a_bad_turn_costs_only_itself(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    record = {**BUS, "conversations": [*BUS["conversations"], {"from": "human", "value": "And?"}]}
    record["conversations"][1] = {"from": "gpt", "value": " "}
    records = read(tmp_path, make_recipe, [record])
    (found,), (empty, unanswered) = examples(records), rejects(records)
    assert found.source_id.endswith("#1")
    assert (empty.source_id[-2:], unanswered.source_id[-2:]) == ("#0", "#2")
    assert "turn 1 is empty" in empty.reason
    assert "turn 4 has no answer" in unanswered.reason
    assert empty.image_id == "33471"


def test_one_record_holds_the_whole_conversation(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "l.json").write_text(json.dumps([BUS]))
    recipe = make_recipe(format="llava", path="l.json", images="images")
    (piece,) = pieces(recipe)
    (talk,) = read_records(recipe, piece)
    assert isinstance(talk, Talk)
    assert [human for _, human, _ in talk.turns] == [
        "What are the colors of the bus in the image?",
        "What feature can be seen on the back of the bus?",
    ]


@pytest.mark.skipif(not SHARED.is_dir(), reason="real data excerpts are not there")
def test_real_excerpts(make_recipe: MakeRecipe) -> None:
    records = read_all(make_recipe(format="llava", path=str(SHARED / "*k.json"), images="images"))
    assert len(examples(records)) == len(records) == 5
    assert not any("<image>" in one.prompt.text for one in examples(records) if one.prompt)


def test_lines_are_read_as_a_list_is(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "images/train2017").mkdir(parents=True)
    (tmp_path / "images/train2017/000000033471.jpg").touch()
    several = {**BUS, "image": ["000000033471.jpg", "b.jpg"]}
    records = [BUS, {**WHY, "image": ["000000033471.jpg"]}, several, "none"]
    listed = read(tmp_path, make_recipe, records)
    assert [one.image for one in examples(listed)] == [f"{tmp_path}/images/./train2017/000000033471.jpg"] * 3
    assert ["2 pictures, a record has one" in one.reason for one in rejects(listed)] == [True, False]
    (tmp_path / "l.json").write_text("\ufeff" + "\n".join(map(json.dumps, records)))
    lines = read_all(make_recipe(format="llava", path="l.json", images="images"))
    assert examples(lines) == examples(listed)
    assert len(rejects(lines)) == 2


def test_a_record_without_an_id_has_its_place(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    nameless = {key: value for key, value in WHY.items() if key != "id"}
    (found,) = examples(read(tmp_path, make_recipe, [nameless]))
    assert found.source_id.startswith("l@1-")
