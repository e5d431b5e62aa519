"""Cuts a text into sentences for the translator and into what must pass through untouched.

Sentence ends come from `sentencex` (https://github.com/wikimedia/sentencex); lines, lists, tables, code and
placeholders from here. Every cut is a slice of the text, so joining the segments always gives the text back.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, pairwise

import sentencex

from translation.languages import Language, resolve
from translation.surrogates import SURROGATE

MAX_SENTENCE = 1000
"""Characters; a longer sentence is cut at clauses or spaces, since NLLB was trained with 512 tokens."""


@dataclass(frozen=True)
class Segment:
    """A slice of a text. `translate` false: it stays as it is (separator, placeholder, number, code)."""

    text: str
    translate: bool


def split(text: str, language: str) -> list[Segment]:
    """The segments of a text in an NLLB language; joined they are the text.

    A segment to translate is one sentence of at least one letter outside its placeholders, without line
    break, list marker, or white space or placeholder at either end. One letter alone (`A`, `5 m`) stays
    verbatim, because translators invent text for it. A sentence over `MAX_SENTENCE` characters is cut further
    where it can be.

    Raises:
        UnknownLanguage: the registry does not know the language.
    """
    known = _language(language)
    if len(text) <= MAX_SENTENCE and _PLAIN.fullmatch(text):
        return [Segment(text, True)]
    return _merged(_segments(text, known))


def pieces(sentence: str) -> list[Segment]:
    """A sentence cut at its placeholders, which are verbatim, for when the translator broke one of them."""
    return _merged(_pieces(sentence, _ROUNDS))


def placeholders(text: str) -> Counter[str]:
    """What a translation must hold exactly, with counts.

    Tags (`<image>`, `</b>`, `<|end|>`), format fields (`{}`, `{name}`, `{{x}}`, `${x}`, `%s`, `%(name)s`),
    URLs and domains, e-mail addresses, file paths and names with a known ending, code spans and fenced
    blocks, HTML entities, `@user` and `#tag` in ASCII (names, so they are kept).
    """
    return Counter(text[start:end] for start, end in _spans(text))


def numbers(text: str) -> Counter[str]:
    """The numbers in a text, with counts, in one spelling: ASCII digits, no grouping, a decimal point.

    `1,000.5`, `1.000,5`, `1 000,5` and `1'000.5` are all `1000.5`; leading zeros and zeros that end a
    fraction go. One separator before exactly three digits is read as grouping in every language (`1.000` and
    `1,000` are `1000`), since only equality between two texts matters. Dates and versions (`12.05.2020`)
    count part by part. Signs do not count.
    """
    return Counter(number for match in _NUMBER.finditer(text) for number in _canonical(match[0]))


def number_tokens(text: str) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Each run of digits in a text: its `numbers` (several for a date), and where it starts and ends."""
    for match in _NUMBER.finditer(text):
        yield tuple(_canonical(match[0])), *match.span()


def sentence_count(text: str, language: str) -> int:
    """How many segments of a text in an NLLB language go to the translator.

    Raises:
        UnknownLanguage: the registry does not know the language.
    """
    return sum(segment.translate for segment in split(text, language))


# --- Placeholders ---------------------------------------------------------------------------------

# All that str.splitlines() splits at.
_BREAKS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
# A URL stops at quotes, brackets of other syntaxes and at scripts that write no space after it.
_IN_URL = (
    r"[^\s<>\"`{}|\\^\u00ab\u00bb\u2010-\u206f"
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u9fff\uac00-\ud7af\uff00-\uffef]"
)
_URL_END = r"(?<=[\w/#=&%~+$@-])"
_COMPONENT = r"\.?[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]++)*+"
_ENDINGS = (
    "jpe?g|png|gif|bmp|svg|webp|tiff?|pdf|txt|csv|tsv|jsonl?|xml|ya?ml|html?|css|js|ts|py|ipynb|java|cpp|hpp|sh"
    "|md|zip|gz|tar|mp[34]|wav|avi|mov|docx?|xlsx?|pptx?|parquet|exe"
)
# Quantifiers are bounded or possessive and most alternatives start only where a token does, so that every
# text is scanned in linear time. ASCII classes, because Chinese or Thai may stand right beside a placeholder.
_PLACEHOLDER = re.compile(
    "|".join(
        (
            # A fenced block up to its closing fence, or to the end where there is none, as CommonMark has it.
            r"(?ms:^\ {0,3}(?P<fence>`{3,}+|~{3,}+)[^\n`]*\n(?:.*?^\ {0,3}(?P=fence)[`~]*[\ \t\r]*$|.*\Z))",
            rf"(?<!`)(?P<ticks>`{{1,3}})(?![`\s])[^{_BREAKS}]*?[^`\s](?P=ticks)(?!`)",
            rf"</?[A-Za-z][^<>{_BREAKS}]{{0,200}}>",
            rf"<\|[^<>|{_BREAKS}]{{0,100}}\|>|<!--[^<>{_BREAKS}]*-->",
            rf"\{{\{{[^{{}}{_BREAKS}]*\}}\}}|\$\{{[^{{}}{_BREAKS}]*\}}",
            r"\{[A-Za-z0-9_.\[\]]*+(?:![rsa])?(?::[^{}\s]*)?\}",
            r"(?<![0-9%])%(?:\(\w++\)|[0-9]++\$)?[-+0\#]*+[0-9]*+(?:\.[0-9]++)?(?:hh?|ll?|[qjzt])?"
            r"[diouxXeEfFgGcrs@](?![A-Za-z0-9_])",
            rf"(?<![A-Za-z0-9])(?:(?i:https?|ftp)://|www\.){_IN_URL}+{_URL_END}",
            r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]++(?:\.[A-Za-z0-9-]++)++",
            r"(?<![A-Za-z0-9_@./-])(?:[A-Za-z0-9-]{1,63}\.){1,4}(?:com|org|net|edu|gov|io)(?:\.[a-z]{2})?"
            rf"(?![A-Za-z0-9_-])(?:/(?:{_IN_URL}+{_URL_END})?)?",
            rf"(?<![A-Za-z0-9_./~-])(?:~|\.{{1,2}})?/{_COMPONENT}(?:/{_COMPONENT})++/?",
            rf"(?<![A-Za-z0-9_./-])[A-Za-z0-9_/-]{{1,200}}(?:\.[A-Za-z0-9_-]{{1,100}}){{0,5}}"
            rf"\.(?:{_ENDINGS})(?![A-Za-z0-9_])",
            r"(?<![A-Za-z0-9])[A-Za-z]:\\[A-Za-z0-9_.\\-]*[A-Za-z0-9_\\]",
            r"&(?:\#[0-9]{1,7}|\#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});",
            r"(?<![A-Za-z0-9_@])@[A-Za-z_][A-Za-z0-9_]*+",
            r"(?<![\w\#&/])\#(?=[0-9_]*+[A-Za-z])[A-Za-z0-9_]++(?!\w)",
        )
    )
)
# Every placeholder holds one of these; most captions hold none, which spares them the scan.
_HINTS = r"`<{%@#&/\\"
_HINT = re.compile(rf"[{_HINTS}]|~~~|\.[A-Za-z]")
HINT = rf"[{_HINTS}~.]"
"""Pattern of the characters that every placeholder has one of."""


def _spans(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _PLACEHOLDER.finditer(text)] if _HINT.search(text) else []


# What is cut off may have hidden another placeholder (`#a` is none in `@u#a`), so the rest is looked at
# again. Only text made to do so goes on hiding them; it stays verbatim.
_ROUNDS = 8


def _pieces(text: str, rounds: int) -> Iterator[Segment]:
    spans = _spans(text)
    if not spans and len(gap := list(_gap(text))) == 1:
        yield from gap
    elif not rounds:
        yield Segment(text, False)
    else:
        for piece in _cut(text, spans) if spans else gap:
            if piece.translate:
                yield from _pieces(piece.text, rounds - 1)
            else:
                yield piece


def _cut(text: str, spans: list[tuple[int, int]]) -> Iterator[Segment]:
    end = 0
    for low, high in spans:
        if end < low:
            yield Segment(text[end:low], True)
        yield Segment(text[low:high], False)
        end = high
    if end < len(text):
        yield Segment(text[end:], True)


# Beside a placeholder, the punctuation between it and the words would only confuse the translator.
_GAP_START = re.compile(r"[\s,;:.!?…、，。；：！？)\]}]*")
_GAP_END = re.compile(r"(?<![\s(\[{:,;])[\s(\[{:,;]*\Z")


def _gap(text: str) -> Iterator[Segment]:
    start = _matched(_GAP_START, text, 0)
    found = _GAP_END.search(text, start)
    end = found.start() if found else start
    if start:
        yield Segment(text[:start], False)
    if start < end:
        yield Segment(text[start:end], _translatable(text[start:end], []))
    if end < len(text):
        yield Segment(text[end:], False)


# --- Lines, lists, tables -------------------------------------------------------------------------

# The shadow of a text has its length, and only what may end a sentence or a line in it: placeholders become
# words, fenced blocks line breaks, and other white space ASCII spaces (sentencex 1.0 panics on `A\u00a0.`).
_SHADOW = str.maketrans(
    dict.fromkeys("\r\v\f\x1c\x1d\x1e\x85\u2028\u2029", "\n")
    | dict.fromkeys(
        "\x1f\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
        " ",
    )
    # Sentence ends that sentencex does not know (Khmer, Tibetan, Ol Chiki) as one that it does.
    | dict.fromkeys("។៕៚།༎᱾᱿", "।")
    # What it wrongly takes for ends: a Burmese comma and 'of', Armenian marks in words and between clauses.
    | {"၊": ",", "၏": "က", "՜": "ա", "․": ","}
)
_WIDE_POINT = re.compile(r"(?<=\d)．(?=\d)")
_ARMENIAN_COLON = re.compile(r"(?<=[ա-և]):(?= +[Ա-Ֆ])")
# Two spaces are a typing slip inside a sentence; three and tabs lay out columns.
_SEPARATOR = re.compile(r"(?:[\n\t|]|\ {3,})+")
# Quote marks, headings, bullets, boxes, and numbers or letters of a list at the start of a line or cell. In
# German sentences may start with a number and a point too (`3. Oktober`); it stays then, which does no harm.
_PREFIX = re.compile(
    r"\ *(?:(?:>|\#{1,6}(?=\ )|[-–—*+•‣◦▪●○■·](?=\ )|\[[ xX]\](?=\ )|\d{1,3}(?:[.)．](?=\ )|、)"
    r"|[A-H][.](?=\ )|[A-Za-z]\)(?=\ )|\((?:\d{1,3}|[A-Za-z])\)(?=\ ))\ *)*"
)


def _segments(text: str, language: Language) -> Iterator[Segment]:
    shadow = _shadow(text, _spans(text))
    end = 0
    for low, high in _chunks(shadow):
        start = _matched(_PREFIX, shadow, low, high)
        yield Segment(text[end:start], False)
        for span in _sentences(shadow[start:high], language):
            yield from _sentence(text[start + span[0] : start + span[1]])
        end = high
    yield Segment(text[end:], False)


def _shadow(text: str, spans: list[tuple[int, int]]) -> str:
    parts, end = [], 0
    for low, high in spans:
        # Only fenced blocks hold line breaks.
        masked = "\n" if "\n" in text[low:high] else "x"
        parts += [text[end:low], "X" if masked == "x" else "\n", masked * (high - low - 1)]
        end = high
    parts.append(text[end:])
    shadow = "".join(parts)
    if not shadow.isascii():
        # Khmer `etc.` and a full-width decimal point end no sentence; two Ethiopic word spaces do, and an
        # Armenian colon.
        shadow = shadow.replace("។ល។", "xxx").replace("፡፡", "x።")
        shadow = _WIDE_POINT.sub("x", shadow)
        shadow = _ARMENIAN_COLON.sub("։", shadow)
    return shadow.translate(_SHADOW)


def _chunks(shadow: str) -> Iterator[tuple[int, int]]:
    end = 0
    for match in _SEPARATOR.finditer(shadow):
        yield end, match.start()
        end = match.end()
    yield end, len(shadow)


# --- Sentences ------------------------------------------------------------------------------------

# Captions with no mark before their end are one sentence; this is most of the work of a mix.
_PLAIN = re.compile(r"[A-Za-zÀ-ÖØ-öø-ɏ] ?[A-Za-zÀ-ÖØ-öø-ɏ](?:[\w,'’\"“”()-]| (?! ))*(?<! )(?: ?[.!?])?")
_CLOSING = frozenset("」』”’»›）)】》")
_BEFORE = r"(?:^|[\s(\[\"'“«„])"
_TITLE = re.compile(_BEFORE + r"(?:Dr|Prof|Mr|Mrs|Ms|Mme|Mlle|Sr|Sra|डॉ|திரு)\.$")
_FOREIGN_TITLE = re.compile(_BEFORE + r"(?:St|sv|św|св)\.$")  # an English sentence may end in "St."
_INITIAL = re.compile(r"(?<![\w.])[^\W\d_]\.$")
_SHORT = re.compile(r"(?:^|\s)\S{1,4}\.$|\.\S{1,4}\.$")
_DOTTED = re.compile(_BEFORE + r"(?:(?:\w{1,5}\.)+\w{1,5}|\w\. \w)\.$")
_ORDINAL = re.compile(r"\S \d{1,2}\.$")
_CLAUSE = re.compile(r"[,;:،؛–—…] +|[、，；：] *")
_SPACE = re.compile(r" +")
_LEAD = re.compile(r"(?:\s+|[-–—*+•‣◦▪●○■·](?=\s))*+")


@cache
def _language(code: str) -> Language:
    return resolve(code)


def _sentences(shadow: str, language: Language) -> Iterator[tuple[int, int]]:
    start = 0
    own_mark = language.sentence_marks[:1].translate(_SHADOW)
    point_ends = own_mark == "." or own_mark not in shadow
    for end in _ends(shadow, language.bcp47):
        before = shadow[max(start, end - 40) : end]
        if end < len(shadow) and _goes_on(before, shadow[end], language.english, point_ends):
            continue
        if end - start > MAX_SENTENCE:
            cuts = [start, *(start + cut for cut in _clauses(shadow[start:end])), end]
            yield from pairwise(cuts)
        else:
            yield start, end
        start = end


# Characters; sentencex takes quadratic time on some texts without spaces (7 s for 100 kB of `はい。`).
_BLOCK = 2000


def _ends(shadow: str, tag: str) -> Iterator[int]:
    """Where sentences end according to sentencex; the last one is the end of the text."""
    start = 0
    while start + _BLOCK < len(shadow):
        # The last sentence of a block may go on in the next one.
        *ends, _ = _block_ends(shadow[start : start + _BLOCK], tag)
        yield from (start + end for end in ends)
        start += ends[-1] if ends else _BLOCK // 2
    yield from (start + end for end in _block_ends(shadow[start:], tag))


def _block_ends(block: str, tag: str) -> list[int]:
    try:
        return list(accumulate(map(len, sentencex.segment(tag, block))))
    except UnicodeEncodeError:
        return _block_ends(SURROGATE.sub("\ufffd", block), tag)
    except BaseException as error:
        # A Rust panic is no Exception and would take the worker down with it; the block stays one sentence.
        if type(error).__name__ != "PanicException":
            raise
        return [len(block)]


def _goes_on(before: str, after: str, english: bool, point_ends: bool) -> bool:
    """Whether a sentence goes on over an end that sentencex found: abbreviations that its lists lack."""
    mark = before.rstrip()
    if mark == before and mark[-1:] in _CLOSING and after.isalpha():
        return True  # 「はい。」と言った
    if not mark.endswith("."):
        return False
    if _TITLE.search(mark) or (after.islower() and (_DOTTED.search(mark) or _ORDINAL.search(mark))):
        return True
    # English is the language that sentencex knows best, and its sentences may end in "I." or a number.
    if english:
        return False
    if not point_ends and _SHORT.search(mark):
        return True  # Beside sentences that end in the language's own mark, a point after a short word: मि.
    initial = _INITIAL.search(mark) is not None and (after.islower() or not mark[-2].islower())
    return initial or _ORDINAL.search(mark) is not None or _FOREIGN_TITLE.search(mark) is not None


def _clauses(sentence: str) -> Iterator[int]:
    """Where to cut a sentence so that its parts keep to `MAX_SENTENCE`: after a clause, else a space."""
    clauses = [match.end() for match in _CLAUSE.finditer(sentence)]
    spaces = [match.end() for match in _SPACE.finditer(sentence)]
    start = 0
    while len(sentence) - start > MAX_SENTENCE:
        before = [_last(places, start, start + MAX_SENTENCE) for places in (clauses, spaces)]
        start = before[0] or before[1] or _next(spaces, start) or _next(clauses, start) or len(sentence)
        if start < len(sentence):
            yield start


def _last(places: list[int], low: int, high: int) -> int | None:
    index = bisect_right(places, high) - 1
    return places[index] if index >= 0 and places[index] > low else None


def _next(places: list[int], low: int) -> int | None:
    index = bisect_right(places, low)
    return places[index] if index < len(places) else None


def _sentence(text: str) -> Iterator[Segment]:
    """One sentence and what stands around it: white space, bullets, placeholders."""
    start, end = 0, len(text)
    for _ in range(_ROUNDS):
        body = text[start:end]
        spans = _spans(body)
        low, high = _edges(body, spans)
        if high - low == len(body):
            yield Segment(text[:start], False)
            yield Segment(body, _translatable(body, spans))
            yield Segment(text[end:], False)
            return
        start, end = start + low, start + high
    yield Segment(text, False)


def _edges(text: str, spans: list[tuple[int, int]]) -> tuple[int, int]:
    low = _matched(_LEAD, text, 0)
    for start, end in spans:
        if start != low:
            break
        low = _matched(_LEAD, text, end)
    high = _stripped(text, low, len(text))
    for start, end in reversed(spans):
        if end != high or start < low:
            break
        high = _stripped(text, low, start)
    return low, high


def _stripped(text: str, low: int, high: int) -> int:
    while high > low and text[high - 1].isspace():
        high -= 1
    return high


def _translatable(text: str, spans: list[tuple[int, int]]) -> bool:
    """Two letters outside the placeholders, or one in a script without case, where it may be a word."""
    if spans:
        cuts = [0, *(edge for span in spans for edge in span), len(text)]
        text = "".join(text[low:high] for low, high in zip(cuts[::2], cuts[1::2], strict=True))
    letters = (character for character in text if character.isalpha())
    first = next(letters, "")
    return first != "" and (first.lower() == first.upper() or next(letters, "") != "")


def _matched(pattern: re.Pattern[str], text: str, start: int, end: int | None = None) -> int:
    """Where a pattern that also matches nothing stops."""
    match = pattern.match(text, start, len(text) if end is None else end)
    return match.end() if match else start


def _merged(segments: Iterable[Segment]) -> list[Segment]:
    """Without empty segments, and neighbouring verbatim ones as one."""
    merged: list[Segment] = []
    verbatim: list[str] = []
    for segment in segments:
        if not segment.text:
            continue
        if not segment.translate:
            verbatim.append(segment.text)
            continue
        if verbatim:
            merged.append(Segment("".join(verbatim), False))
            verbatim = []
        merged.append(segment)
    if verbatim:
        merged.append(Segment("".join(verbatim), False))
    return merged


# --- Numbers --------------------------------------------------------------------------------------

_NUMBER = re.compile(
    # Spaces group only whole threes: 12 345 678,9.
    r"(?<!\d)\d{1,3}(?:[ \u00a0\u2009\u202f]\d{3})+(?!\d)(?:[.,٫]\d+)?|\d+(?:[.,'’٫٬،．，]\d+)*"
)
_GROUPING = re.compile(r"[ \u00a0\u2009\u202f'’]")
_MARKS = str.maketrans("٫٬،．，", ".,,.,")
_THREES = re.compile(r"\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*")
_INDIAN = re.compile(r"\d{1,2}(?:,\d{2})+,\d{3}")


def _canonical(number: str) -> list[str]:
    """A matched number in one spelling, or its parts if its separators are those of a date or version."""
    digits = number if number.isascii() else "".join(_ascii(character) for character in number)
    digits = digits.translate(_MARKS)
    first, *groups = _GROUPING.split(digits)
    if groups:
        if any(len(re.split("[.,]", group)[0]) != 3 for group in groups):
            return [part for group in (first, *groups) for part in _canonical(group)]
        digits = "".join((first, *groups))
    if not digits.startswith("0") and (_THREES.fullmatch(digits) or _INDIAN.fullmatch(digits)):
        return [_decimal(re.sub("[.,]", "", digits), "")]
    cut = max(digits.rfind("."), digits.rfind(","))
    if cut < 0:
        return [_decimal(digits, "")]
    whole, fraction = digits[:cut], digits[cut + 1 :]
    if whole.isdigit():
        return [_decimal(whole, fraction)]
    if digits[cut] not in whole and (_THREES.fullmatch(whole) or _INDIAN.fullmatch(whole)):
        return [_decimal(re.sub("[.,]", "", whole), fraction)]
    return [_decimal(part, "") for part in re.split("[.,]", digits)]


def _decimal(whole: str, fraction: str) -> str:
    fraction = fraction.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")


def _ascii(character: str) -> str:
    return str(unicodedata.decimal(character)) if character.isdecimal() else character
