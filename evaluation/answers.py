"""One form of short answers, so that a prediction and a gold answer are compared by what they say."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import regex

from evaluation.tokens import APOSTROPHES, INVISIBLE, lower_case

VQA, PLAIN = "vqa-2", "plain-2"
"""Names of the two normalisations, for signatures."""

# Of VQAv2's evaluation, https://github.com/GT-Vision-Lab/VQA.
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS = MappingProxyType(
    {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
    | {"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"}
)
_ARTICLES = frozenset({"a", "an", "the"})
_THOUSANDS = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
# Written without one of their apostrophes, these get it back.
_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd
he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've
needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've
somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll
that's there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've
weren't what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've
why'll why're why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're
you've
"""


@cache
def _contractions() -> Mapping[str, str]:
    forms = {
        form[:place] + form[place + 1 :]: form
        for form in _CONTRACTED.split()
        for place, letter in enumerate(form)
        if letter == "'"
    }
    # The list of the official evaluation has this one the wrong way round.
    return MappingProxyType(forms | {"somebody'd": "somebodyd"})


def vqa_answer(text: str) -> str:
    """An English answer as VQAv2's evaluation compares it: no case, articles, punctuation or number words.

    The rules of https://visualqa.org/evaluation.html as its code has them. An answer of nothing but articles
    or punctuation stays, in lower case: the official code makes the answers `a` and `the` both empty.
    """
    bare = _vqa_words(text.replace("\n", " ").replace("\t", " ").strip())
    return bare or text.strip().lower()


def published_answer(text: str) -> str:
    """What mBLIP's evaluation makes of a prediction: VQAv2's rules, but words of two lines are joined."""
    return _vqa_words(text.replace("\n", "").replace("\t", "").strip())


def _vqa_words(text: str) -> str:
    kept = text
    joined = _THOUSANDS.search(text) is not None
    for mark in _PUNCTUATION:
        apart = mark + " " in text or " " + mark in text
        kept = kept.replace(mark, "" if apart or joined else " ")
    # The 32 is re.UNICODE, which the official code passes where the number of replacements belongs.
    kept = _FULL_STOP.sub("", kept, count=32)
    words = (_NUMBERS.get(word, word) for word in kept.lower().split())
    return " ".join(_contractions().get(word, word) for word in words if word not in _ARTICLES)


# Signs that can be part of an answer (`50%`, `C#`, `-5`) are no marks around it.
# Joiners are letters of some scripts, but of none at an end.
_MARK = r"[\p{P}\s\u200c\u200d--[%‰#&@*\-]]"
_ENDS = regex.compile(rf"^(?:{_MARK}|-(?!\p{{N}}))+|(?:{_MARK}|-)+$", regex.V1)


def plain_answer(text: str, language: str) -> str:
    """An answer in any language (NLLB code): composed, in lower case, without marks at its ends.

    Width variants count as one (`５`, `5`), and so do apostrophes; inner white space is one space, marks
    without width are none. An answer of nothing but marks stays as it is.
    """
    visible = INVISIBLE.sub("", text).replace("\u200b", " ")
    folded = lower_case(unicodedata.normalize("NFKC", visible), language).translate(APOSTROPHES)
    composed = " ".join(folded.split())
    return _ENDS.sub("", composed) or composed or " ".join(text.split())
