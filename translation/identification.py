"""Which language a text is in: one interface over the fastText model that ships, CLD2 with CLD3, and others.

Both answer in NLLB codes. A label that the registry does not know keeps its own spelling, so that a foreign
language stays visible.
"""

from __future__ import annotations

import hashlib
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import regex

from translation.fasttext_file import check_model
from translation.languages import Language, languages, resolve

if TYPE_CHECKING:
    import fasttext

SHIPPED, CLD = "shipped", "cld"
"""Specs of identifiers that need no file: the model of this package, and CLD2 with CLD3."""

OFFLINE = SHIPPED
"""What is used unless a recipe says otherwise."""

# pycld2 raises on control characters, surrogates and noncharacters; private use carries no language either.
_UNREADABLE = regex.compile(r"[\p{Cc}\p{Cs}\p{Cn}\p{Co}]+")
_LETTER = regex.compile(r"\p{L}")

# Script codes that GlotLID, OpenLID and BCP-47 use for what NLLB spells in another way.
_SCRIPT_VARIANTS = {"Hani": ("Hans", "Hant"), "Kore": ("Hang",), "Olck": ("Beng",)}

# Without a script, `als` is Wikipedia's Alemannic (lid.176), where ISO 639-3 means Tosk Albanian.
_NOT_ISO = frozenset({"als"})


class Identifier(Protocol):
    """Names the language of texts."""

    @property
    def name(self) -> str:
        """With versions, for signatures: `cld2-0.42+cld3-3.1.0`."""

    @property
    def digest(self) -> str:
        """SHA-256 of the model file, or of the package versions."""

    def languages(self) -> frozenset[str]:
        """NLLB codes of the registry that it can name."""

    def identify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        """Per text its candidates, best first: NLLB code (or the engine's own label) to confidence in 0..1.

        An empty dict says that it cannot tell; texts without letters always get one.
        """

    @property
    def second_opinion(self) -> Identifier | None:
        """Whom to ask where this one doubts that a text is in the wanted language."""


class IdentifierError(ValueError):
    """An identifier that cannot be loaded; the message says what was asked for and what to do."""


def load_identifier(spec: str) -> Identifier:
    """The identifier of a spec: `shipped`, `cld`, the path of a fastText file, or a hub name.

    A hub name is `owner/name` (its `model.bin`) or `owner/name/file.bin`, such as `cis-lmu/glotlid`.

    Raises:
        IdentifierError: no such file, package or hub repository, or not a fastText model.
    """
    if spec == SHIPPED:
        return _Shipped()
    if spec == CLD:
        return _Cld()
    path = Path(spec)
    if path.is_file():
        return _FastText(path, path.name)
    parts = spec.split("/")
    if path.is_absolute() or spec.startswith(".") or not 2 <= len(parts) <= 3 or not all(parts):
        raise IdentifierError(
            f"language identification: no file {spec!r}; give {SHIPPED!r}, {CLD!r}, the path of a fastText"
            " .bin or .ftz file, or a hub name such as 'cis-lmu/glotlid'"
        )
    if len(parts) == 2 and path.suffix in {".bin", ".ftz"}:
        raise IdentifierError(f"language identification: no file {spec!r} in {Path.cwd()}")
    return _FastText(_download("/".join(parts[:2]), parts[2] if parts[2:] else "model.bin"), spec)


def _download(repository: str, filename: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise IdentifierError(
            f"language identification: fetching {repository!r} needs `pip install huggingface_hub`;"
            " or give the path of a file"
        ) from error
    try:
        return Path(hf_hub_download(repository, filename))
    except (
        OSError,
        ValueError,
    ) as error:  # the hub's own errors are OSError (HTTP, offline) or ValueError (names)
        raise IdentifierError(
            f"language identification: cannot fetch {filename!r} of {repository!r} from the hub ({error});"
            f" check the name and the connection, or use {OFFLINE!r}"
        ) from error


def _readable(text: str) -> str:
    """What the models can read, composed: else CLD takes one Yoruba sentence in five for Vietnamese."""
    return unicodedata.normalize("NFC", _UNREADABLE.sub(" ", text))


@cache
def script_letters(scripts: tuple[str, ...]) -> regex.Pattern[str]:
    """A pattern that matches one letter of any of these Unicode scripts (long names, as in the registry).

    By script extensions: the long vowel mark of Japanese belongs to two scripts and would be in neither.
    """
    properties = "".join(rf"\p{{Script_Extensions={name}}}" for name in scripts)
    return regex.compile(rf"[\p{{L}}&&[{properties}]]", regex.V1)


@cache
def _script_codes() -> dict[str, str]:
    """Unicode script name to the ISO 15924 code by which NLLB spells it: `Arabic` to `Arab`."""
    codes: dict[str, str] = {}
    # Default languages first: Han is Hans there, and Santali's odd code comes last.
    for language in sorted(languages().values(), key=lambda language: not language.default):
        if len(language.scripts) == 1:
            codes.setdefault(language.scripts[0], language.nllb.split("_")[1])
    return codes


@cache
def _spellings() -> frozenset[str]:
    """All codes of the registry, lower case, with `_` for `-`."""
    return frozenset(
        code.lower().replace("-", "_")
        for language in languages().values()
        for code in (language.nllb, language.bcp47, language.mc4 or language.nllb, *language.aliases)
    )


@cache
def _known(code: str) -> Language | None:
    """The language of a code, None where the registry has none."""
    if code in _NOT_ISO or code.lower().replace("-", "_") not in _spellings():
        return None
    return resolve(code)


def _from_bare_code(code: str, text: str) -> str:
    """NLLB code of a detector's code without a script (`sr`, `ku`, `zh`), as the letters of the text decide.

    Serbian in Latin letters has no NLLB code and stays `sr-Latn`; Kurdish in Arabic letters is `ckb_Arab`.
    """
    language = _known(code)
    if language is None:
        return code
    if script_letters(language.scripts).search(text):
        return language.nllb
    for name, script in _script_codes().items():
        if script_letters((name,)).search(text):
            other = _known(f"{code}-{script}")
            return other.nllb if other else f"{code}-{script}"
    return language.nllb


@cache
def _from_label(label: str) -> str | None:
    """NLLB code of a label with a script (`ekk_Latn`), the label itself if unknown, None without a script."""
    iso, _, script = label.partition("_")
    if not script:
        return None
    exact = languages().get(label) or _known(label)
    if exact:
        return exact.nllb
    language = _known(iso) if iso not in _NOT_ISO else None
    if language and language.nllb.split("_")[1] in (script, *_SCRIPT_VARIANTS.get(script, ())):
        return language.nllb
    return label


def _registered(codes: Iterable[str]) -> frozenset[str]:
    """The NLLB codes that detector codes without a script can turn into, see `_from_bare_code`."""
    found: set[str] = set()
    for language, code in ((_known(code), code) for code in codes):
        if language is None:
            continue
        others = (_known(f"{code}-{script}") for script in _script_codes().values())
        found.add(language.nllb)
        found |= {other.nllb for other in others if other and not set(other.scripts) & set(language.scripts)}
    return frozenset(found)


def _registered_labels(labels: Sequence[str]) -> frozenset[str]:
    """The NLLB codes that fastText labels can turn into."""
    codes = {label: _from_label(label) for label in labels}
    bare = [label for label, code in codes.items() if code is None]
    return _registered(bare) | frozenset(code for code in codes.values() if code and code in languages())


class _Cld:
    """CLD2 and CLD3 together: a language is a candidate when either names it.

    Confidence is 0.5 for being named by either, and 0.25 more for each of the two that calls itself reliable,
    so 1.0 means that both are sure. Macro recall of the candidates over 87 languages of NTREX lines
    1001-1997: .984 for the first 9 words (Malay .83, Serbian .88, Indonesian .91), .990 for whole sentences.
    """

    def __init__(self) -> None:
        try:
            import gcld3
            import pycld2
        except ImportError as error:
            raise IdentifierError(
                f"language identification {CLD!r} needs `pip install pycld2 cld3-py` ({error})"
            ) from error
        self._cld2 = pycld2
        self._cld3 = gcld3.NNetLanguageIdentifier(min_num_bytes=0, max_num_bytes=1000)
        # CLD3 releases the GIL while it works on state of its own.
        self._lock = threading.Lock()
        self.second_opinion = None
        self.name = f"cld2-{version('pycld2')}+cld3-{version('cld3-py')}"
        self.digest = hashlib.sha256(self.name.encode()).hexdigest()
        detected = set(pycld2.DETECTED_LANGUAGES)
        # CLD3 names no language that CLD2 does not.
        self._languages = _registered(code for name, code in pycld2.LANGUAGES if name in detected)

    def languages(self) -> frozenset[str]:
        return self._languages

    def identify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        return [self._identify(text) for text in texts]

    def _identify(self, text: str) -> dict[str, float]:
        text = _readable(text)
        if not _LETTER.search(text):
            return {}
        confidence: dict[str, float] = {}
        second = [
            (_from_bare_code(code, text), reliable) for code, reliable in self._second(text) if code != "un"
        ]
        with self._lock:
            found = self._cld3.FindLanguage(text)
        third = []
        if found.language != "und":
            # CLD3 has one code for both Chinese scripts, CLD2 has two.
            chinese = [code for code, _ in second if code.startswith("zho_")]
            code = chinese[0] if found.language == "zh" and chinese else _from_bare_code(found.language, text)
            third.append((code, found.is_reliable))
        for code in dict(second + third):
            sure = sum((code, True) in votes for votes in (second, third))
            confidence[code] = 0.5 + 0.25 * sure
        return _best_first(confidence)

    def _second(self, text: str) -> list[tuple[str, bool]]:
        """What CLD2 names, and whether it is sure; where it is not, its best effort as well."""
        reliable, _, details = self._cld2.detect(text, isPlainText=True)
        named = [(details[0][1], reliable)]
        if not reliable:
            # With bestEffort CLD2 calls everything reliable, so the first call decides that.
            named.append((self._cld2.detect(text, isPlainText=True, bestEffort=True)[2][0][1], False))
        return named


def normalised(text: str) -> str:
    """What the shipped model reads, in training too: one line, composed, in lower case."""
    # fastText ends a text at a line break, and takes a no-break space for a letter.
    return unicodedata.normalize("NFC", text.replace("\n", " ").replace("\xa0", " ")).lower()


class _Shipped:
    """The quantised fastText model of this package, with CLD2 and CLD3 as its second opinion.

    How it was trained and what it gets right is in models/identifier/README.md.
    """

    CANDIDATES = 3

    def __init__(self) -> None:
        path = Path(str(files("translation").joinpath("models", "identifier", "identifier.ftz")))
        self._fast_text = _FastText(path, SHIPPED)
        self.name, self.digest = self._fast_text.name, self._fast_text.digest
        self._codes = self._fast_text.codes()
        self._predict = self._fast_text.model.f.predict
        self.second_opinion: Identifier = _Cld()

    def languages(self) -> frozenset[str]:
        return self._fast_text.languages()

    def identify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        # Straight to the binding: the wrapper around it costs as much as everything else here.
        predict, codes, count = self._predict, self._codes, self.CANDIDATES
        found: list[dict[str, float]] = []
        for text in map(normalised, texts):
            # Only letters have case in ASCII; beyond, circled ones have it too.
            if (text.isascii() and text.islower()) or _LETTER.search(text):
                try:
                    candidates = predict(text + "\n", count, 0.0, "strict")
                except TypeError:  # a lone surrogate is no UTF-8
                    text = text.encode("utf-8", "replace").decode()
                    candidates = predict(text + "\n", count, 0.0, "strict")
                named = {codes[label]: confidence for confidence, label in candidates}
                # fastText's softmax overshoots 1 by a few 1e-5.
                if candidates[0][0] > 1:
                    named[codes[candidates[0][1]]] = 1.0
                found.append(named)
            else:
                found.append({})
        return found

    def bare(self, texts: Sequence[str]) -> object:
        """What fastText alone does for texts, to measure `identify` by."""
        return [self._fast_text.model.predict(text, self.CANDIDATES, 0.0) for text in texts]


class _FastText:
    """A fastText classifier: GlotLID, OpenLID, NLLB's lid218 (labels `deu_Latn`) or lid.176 (labels `de`)."""

    CANDIDATES = 10
    FLOOR = 0.01
    """Labels below this probability are left out."""

    def __init__(self, path: Path, name: str) -> None:
        try:
            import fasttext
        except ImportError as error:
            raise IdentifierError(
                f"language identification with {path.name} needs `pip install fasttext-predict` ({error})"
            ) from error
        try:
            check_model(path)
            self.model: fasttext.FastText._FastText = fasttext.load_model(str(path))
            self._labels, _ = self.model.predict("the", -1, -1.0)
        except (ValueError, RuntimeError) as error:
            raise IdentifierError(
                f"language identification: {path} is not a fastText classifier ({error})"
            ) from error
        self._languages = _registered_labels([_strip(label) for label in self._labels])
        with path.open("rb") as file:
            self.digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.name = f"fasttext-{name}-{self.digest[:8]}"
        self.second_opinion = None

    def codes(self) -> dict[str, str]:
        """Every label as fastText gives it, to the NLLB code that it means, or else its own spelling."""
        return {label: _from_label(_strip(label)) or _strip(label) for label in self._labels}

    def languages(self) -> frozenset[str]:
        return self._languages

    def identify(self, texts: Sequence[str]) -> list[dict[str, float]]:
        return [self._identify(text) for text in texts]

    def _identify(self, text: str) -> dict[str, float]:
        # fastText reads one line and stops at its end.
        text = " ".join(_readable(text).split())
        if not _LETTER.search(text):
            return {}
        confidence: dict[str, float] = {}
        labels, probabilities = self.model.predict(text, self.CANDIDATES, self.FLOOR)
        for label, probability in zip(map(_strip, labels), probabilities, strict=True):
            code = _from_label(label) or _from_bare_code(label, text)
            # Several labels may mean one language (zho_Hani, cmn_Hani); fastText's softmax overshoots 1 by a
            # few 1e-5.
            confidence[code] = min(1.0, confidence.get(code, 0.0) + float(probability))
        return _best_first(confidence)


def _strip(label: str) -> str:
    return label.removeprefix("__label__")


def _best_first(confidence: dict[str, float]) -> dict[str, float]:
    return dict(sorted(confidence.items(), key=lambda item: -item[1]))
