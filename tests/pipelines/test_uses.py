"""How texts are spread over buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipelines.examples import Example, Text
from pipelines.reading import EXAMPLES, AssignedExample
from pipelines.uses import TEXTS_PER_BUCKET, USES, GatherUses, TextBuckets
from translation.answers import contexts
from translation.languages import languages

CODES = st.sampled_from(sorted(languages()))


@given(st.dictionaries(CODES, st.integers(0, 5 * TEXTS_PER_BUCKET), max_size=20))
def test_every_text_has_a_bucket_and_none_is_much_too_large(texts: dict[str, int]) -> None:
    buckets = TextBuckets.of(texts)
    sizes: dict[int, float] = {}
    for code, number in texts.items():
        if number:
            count = buckets.count[code]
            for bucket in range(buckets.first[code], buckets.first[code] + count):
                sizes[bucket] = sizes.get(bucket, 0) + number / count
            assert buckets.of_text((code, "A dog.")) in range(
                buckets.first[code], buckets.first[code] + count
            )
    assert sorted(sizes) == list(range(len(sizes)))
    assert all(size <= 1.5 * TEXTS_PER_BUCKET for size in sizes.values())


def test_a_language_with_many_texts_has_buckets_of_its_own() -> None:
    buckets = TextBuckets.of({"deu_Latn": 3 * TEXTS_PER_BUCKET, "fra_Latn": 10, "jpn_Jpan": 10})
    found = {buckets.of_text(("deu_Latn", f"Dog {number}.")) for number in range(100)}
    assert found == {0, 1, 2} or found == {1, 2, 3}
    assert buckets.of_text(("fra_Latn", "A dog.")) not in found
    assert buckets.of_text(("jpn_Jpan", "A dog.")) not in found


def test_small_languages_share_a_bucket() -> None:
    buckets = TextBuckets.of(dict.fromkeys(["deu_Latn", "fra_Latn", "jpn_Jpan"], 100))
    assert {buckets.of_text((code, "A dog.")) for code in buckets.first} == {0}


def test_a_language_that_was_not_planned_has_a_bucket_too() -> None:
    assert TextBuckets.of({}).of_text(("deu_Latn", "A dog.")) == 0


def answered(number: int) -> AssignedExample:
    question = Text(f"Question {number}?")
    return AssignedExample(Example("s", str(number), "vqa", None, None, question, Text("yes")), "deu_Latn")


def test_a_frequent_answer_takes_few_questions_along_and_the_right_ones() -> None:
    gather = GatherUses(frozenset({"deu_Latn"}), TextBuckets.of({"deu_Latn": 1000}), in_context=True)
    gather.start_bundle()
    assert not list(gather.process((0, EXAMPLES.pack([answered(number) for number in range(1000)]))))
    blocks = [element.value[1] for element in gather.finish_bundle()]  # type: ignore[attr-defined]
    uses = [use for use in USES.unpack_all(blocks) if use.is_answer]
    assert sorted(use.row for use in uses) == sorted(answered(number).id for number in range(1000))
    questions = [use.question for use in uses if use.question is not None]
    assert len(questions) == len(set(questions)) < 50
    assert contexts(questions) == contexts(f"Question {number}?" for number in range(1000))
