"""Any texts get finite scores and a verdict, each pair by itself, and no short cut hides a fault."""

from __future__ import annotations

import itertools
import math
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from translation.filters import Policy, ScoreTable, TextPair, load_thresholds, score_pairs, verdicts
from translation.filters.characters import Characters, kind
from translation.filters.completeness import _counts
from translation.filters.copying import _copied, _nothing_copied, _without_verbatim, shared_words
from translation.filters.length import visible
from translation.filters.pairs import Batch
from translation.filters.repetition import repetition
from translation.identification import Identifier, load_identifier
from translation.languages import languages
from translation.segments import sentence_count
from translation.translations import Translation

CODES = sorted(languages())
SEVERAL = ("deu_Latn", "jpn_Jpan", "tha_Thai", "arb_Arab", "hin_Deva", "amh_Ethi", "zho_Hans", "eng_Latn")

# Letters of many scripts with what breaks parsers: surrogates, controls, marks, joiners, brackets, digits.
_ODD = "\x00\x07\x1c\x85\u2028\ud800\udfff\ufffe\U000e0001\U0001f98a\u0301\u200d\u202e<>{}%`@#&$\\/|٣५一"
_PIECES = (
    *("Ein Hund läuft. ", "狗在跑。", "สุนัข", "كلب؟ ", "कुत्ता। ", "Dr. Smith ", "3.5 ", "1,000 ", "e.g. "),
    *(
        "<image>",
        "{name} ",
        "https://example.org/a ",
        "a@b.org ",
        "%s ",
        "```\n",
        "\n- ",
        "“",
        "”",
        "...",
        "<unk>",
    ),
    *("a ", "the dog ", "BBC ", "No. ", "! ", "\t", "\r\n", "  "),
)

any_text = st.one_of(
    st.text(st.characters(codec=None, exclude_categories=()), max_size=40),
    st.text(_ODD, max_size=12),
    st.lists(st.sampled_from(_PIECES), max_size=12).map("".join),
    st.builds(
        lambda unit, times, tail: unit * times + tail,
        st.text(min_size=1, max_size=6),
        st.integers(2, 120),
        st.sampled_from(["", ".", "x"]),
    ),
)
"""Any Unicode, lone surrogates too, pieces of real text, and repetition beyond measure."""

pairs = st.builds(
    lambda source, target, code, back, score, copied: TextPair(
        source,
        source if copied else target,
        code,
        None if score is None else Translation(target, score, False, False, False),
        back,
    ),
    any_text,
    any_text,
    st.sampled_from(CODES) | st.sampled_from(SEVERAL),
    st.none() | any_text,
    st.none() | st.floats(),
    st.sampled_from([True, *[False] * 9]),
)


@pytest.fixture(scope="module")
def shipped() -> Identifier:
    return load_identifier("shipped")


SHARES = ("script", "copy", "english", "lid", "confusable", "repetition", "numbers", "placeholders")


@settings(deadline=None, max_examples=500, suppress_health_check=list(HealthCheck))
@given(st.lists(pairs, min_size=20, max_size=20))
def test_any_unicode_gets_finite_scores_and_a_verdict(shipped: Identifier, batch: list[TextPair]) -> None:
    """10,000 pairs."""
    table = score_pairs(batch, shipped)
    for scores in table.rows():
        assert all(value is None or math.isfinite(value) for value in scores.values()), scores
        shares = [scores[name] for name in SHARES]
        assert all(share is None or 0 <= share <= 1 for share in shares), scores
    made = verdicts(table, Policy(), load_thresholds(None))
    assert [one.accepted for one in made] == [one.reason is None for one in made]


def same(one: ScoreTable, other: ScoreTable) -> bool:
    return list(one.rows()) == list(other.rows())


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.lists(pairs, max_size=12))
def test_the_scores_of_a_pair_do_not_depend_on_its_neighbours(
    shipped: Identifier, batch: list[TextPair]
) -> None:
    together = list(score_pairs(batch, shipped).rows())
    alone = [next(score_pairs([pair], shipped).rows()) for pair in batch]
    assert together == alone
    assert list(score_pairs(batch[::-1], shipped).rows()) == alone[::-1]


def test_a_loop_across_two_texts_is_none(shipped: Identifier) -> None:
    # Something comes again in the first, but nothing that the glance at a text sees.
    again = TextPair("a dog", "abcdefgh jklmnopq stuvwxyz01234" * 2 + " aa", "deu_Latn")
    next_one = TextPair("a dog", "aab", "deu_Latn")
    alone = _alone([again, next_one], shipped)
    assert alone[0]["repetition"] == 0
    together = score_pairs([again, next_one], shipped)
    assert same(together, ScoreTable.of_rows(together.languages, alone))


def _alone(batch: list[TextPair], identifier: Identifier) -> list[dict[str, float | None]]:
    return [next(score_pairs([pair], identifier).rows()) for pair in batch]


_TEXT = st.lists(
    st.sampled_from(
        [
            *_PIECES,
            "။",
            "፡፡",
            "།",
            "។",
            "…",
            "?",
            "1. ",
            "* ",
            "\u200b",
            "\u2029",
            "Word",
            "слово. ",
            "말. ",
            " ",
            "x" * 300,
        ]
    ),
    max_size=10,
).map("".join)


@settings(deadline=None, max_examples=600)
@given(st.lists(st.tuples(_TEXT | any_text, st.sampled_from(CODES) | st.sampled_from(SEVERAL)), max_size=4))
def test_sentences_counted_by_the_batch_are_those_that_are_split(texts: list[tuple[str, str]]) -> None:
    found = _counts(
        Characters([text for text, _ in texts]), [text for text, _ in texts], [code for _, code in texts]
    )
    assert found.tolist() == [sentence_count(text, code) for text, code in texts]


_ENGLISH = st.sampled_from(
    ["a", "dog", "Dog", "big", "in", "on", "Berlin", "TV", "zebra", "bus", "man", "I", "2"]
)


@settings(max_examples=1000)
@given(
    st.lists(_ENGLISH, min_size=1, max_size=6),
    st.lists(_ENGLISH | st.sampled_from(["ein", "Hund", "de", "la"]), max_size=6),
    st.sampled_from(["", ".", "!", "?"]),
    st.sampled_from(["deu_Latn", "fra_Latn", "jpn_Jpan", "swh_Latn"]),
)
def test_no_copied_word_is_overlooked_at_a_glance(
    source: list[str], target: list[str], end: str, code: str
) -> None:
    for words in (target, source, [word.lower() for word in source]):
        pair = TextPair(" ".join(source) + end, " ".join(words) + end, code)
        if _nothing_copied(pair):
            share = _copied(_without_verbatim(pair))
            # Of the first word, which has a capital, the glance does not see the copy.
            assert math.isnan(share) or share <= 0.5


@given(
    st.lists(_ENGLISH, min_size=1, max_size=8),
    st.sampled_from(["", '"', "(", "'"]),
    st.sampled_from(["", ",", '"', "?!"]),
)
def test_a_copy_of_the_whole_source_is_never_overlooked(words: list[str], before: str, after: str) -> None:
    source = before + f"{after} ".join(words) + after
    pair = TextPair(source, source, "swh_Latn")
    share = _copied(_without_verbatim(pair))
    if share == 1 and not words[0][0].isupper():
        assert not _nothing_copied(pair)


def test_words_that_a_language_shares_are_no_copies() -> None:
    assert shared_words().keys() <= languages().keys()
    assert "banjo" in shared_words()["ces_Latn"]
    assert math.isnan(_copied(TextPair("a banjo", "banjo", "ces_Latn")))
    assert all(word == word.casefold() for words in shared_words().values() for word in words)


@cache
def _letters(code: str) -> str:
    """Some letters of a language's script, of one case."""
    import regex

    pattern = regex.compile("|".join(rf"\p{{Script={script}}}" for script in languages()[code].scripts))
    found = [character for character in map(chr, range(0x3041, 0xA000)) if pattern.fullmatch(character)]
    found += [character for character in map(chr, range(0x61, 0x1800)) if pattern.fullmatch(character)]
    return "".join([one for one in found if one.isalpha() and one == one.lower() == one.casefold()][:300])


@st.composite
def loops(draw: st.DrawFn) -> tuple[str, str, int]:
    """A language, a unit that starts with a letter, how often it comes."""
    code = draw(st.sampled_from(SEVERAL[:-1]))
    letter = st.sampled_from(_letters(code))
    unit = draw(st.text(letter | st.sampled_from(" ,-.'"), min_size=0, max_size=59))
    return code, draw(letter) + unit, draw(st.integers(4, 8))


@settings(deadline=None, max_examples=1500)
@given(loops(), st.sampled_from(["", "ab ", "q"]), st.sampled_from(["", " z", "."]))
def test_no_loop_is_overlooked_at_a_glance(loop: tuple[str, str, int], before: str, after: str) -> None:
    code, unit, times = loop
    (share,) = repetition(Batch([TextPair("something else", before + unit * times + after, code)]))
    # Space around the text is not part of it, so the last time may not be whole.
    assert share >= 1 - 2 / (times - 1) - 1e-6


@given(st.lists(st.tuples(any_text, any_text), max_size=6))
def test_words_and_visible_characters_are_counted_text_by_text(texts: list[tuple[str, str]]) -> None:
    batch = Batch([TextPair(source, target, "deu_Latn") for source, target in texts])
    # \x1c to \x1f are white space to Python and not to Unicode.
    odd = dict.fromkeys(range(0x1C, 0x20), "_")
    if not any(chr(code) in source for source, _ in texts for code in odd):
        assert batch.words.tolist() == [len(source.split()) for source, _ in texts]
    assert visible(batch.source).shape == (len(texts),)
    assert (batch.letters <= batch.target.lengths).all()


@given(st.lists(any_text, max_size=6))
def test_characters_are_counted_text_by_text(texts: list[str]) -> None:
    together = Characters(texts)
    for name in ("letter", "upper", "digit", "space", "mark", "Latin"):
        assert together.count(kind(name)).tolist() == [
            int(Characters([one]).count(kind(name))[0]) for one in texts
        ]
    for name, right in (("digit", str.isdecimal), ("letter", str.isalpha)):
        ours = [sum(map(right, (c for c in one if ord(c) < 0x33480))) for one in texts]
        # Python's tables and regex's may be of two versions of Unicode.
        assert np.abs(together.count(kind(name)) - ours).sum() <= sum(
            ord(c) > 0x24F and not right(c) for one in texts for c in one
        )
    last = together.last(together.of_kind(kind("letter")))
    for text, start, end, place in zip(texts, together.starts, together.ends, last, strict=True):
        assert start <= place <= end
        assert not Characters([text[place - start :]]).count(kind("letter"))[0]


@pytest.mark.parametrize(
    ("name", "inside", "outside"),
    [
        ("upper", "AÄЖ", "aä1犬"),
        ("digit", "0٣५９", "a½Ⅷ²"),
        ("space", " \t\n\u00a0\u2003", "a\u200b"),
        ("mark", "\u0301\u05b0ा", "a1"),
        ("letter", "aßЖ犬ก\u02bc", "1 \u0301."),
        ("Simplified Han", "鸟国人", "鳥國ア"),
        ("Traditional Han", "鳥國人", "鸟国ア"),
        ("Katakana", "アー", "あ犬"),
    ],
)
def test_kinds_of_characters(name: str, inside: str, outside: str) -> None:
    assert Characters([inside, outside]).count(kind(name)).tolist() == [len(inside), 0]


def test_every_pair_of_kinds_has_flags_of_its_own() -> None:
    names = ["letter", "upper", "digit", "space", "break", "hint", "unknown", "mark", "Latin", "Cyrillic"]
    assert all(not kind(one) & kind(other) for one, other in itertools.combinations(names, 2))
