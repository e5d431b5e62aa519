"""Held-out texts stay out of training, and sources are read into texts with their English."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from pathlib import Path

import pytest

from scripts.identifier.corpus import Line, lines, settle, split_of
from scripts.identifier.sources import (
    Pair,
    fluent,
    paragraphs,
    properties,
    read_blockly,
    read_cldr_names,
    read_firefox,
    read_gettext,
    read_json_catalogues,
    read_word_lists,
    strings,
)


def test_split_by_english_is_the_same_in_all_languages() -> None:
    names = [f"name {number}" for number in range(500)]
    splits = [split_of("cldr-names", Pair("de", "irgendwas", name)) for name in names]
    assert splits == [split_of("tatoeba", Pair("fr", "autre chose", name)) for name in names]
    shares = {split: splits.count(split) / 500 for split in ("report", "fit", "train")}
    assert 0.06 < shares["report"] < 0.14
    assert 0.06 < shares["fit"] < 0.14
    # What others fit and report by: blake2b of the English, modulo ten.
    assert split_of("cldr-names", Pair("de", "rotes Herz", "red heart")) == "train"


def test_word_lists_are_unpacked_in_a_folder_named_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "bin/combine_tessdata"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\ntest -f "$2"\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tool.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    Path("packages/deu").mkdir(parents=True)
    Path("packages/deu/deu.traineddata").touch()
    assert list(read_word_lists(Path("packages"))) == []


def test_split_by_article() -> None:
    articles = {number: split_of("udhr", Pair("deu", "Text", None, number)) for number in range(31)}
    assert [number for number, split in articles.items() if split == "fit"] == [25, 26, 27]
    assert [number for number, split in articles.items() if split == "report"] == [28, 29, 30]


def test_catalogues_that_only_train_are_not_split() -> None:
    assert {split_of("firefox", Pair("de", "x", f"message {number}")) for number in range(50)} == {"train"}


def test_lines_are_cleaned_labelled_and_unique() -> None:
    pairs = [
        Pair("de", "~Datei", "~File"),
        Pair("de_DE", "Datei", "File"),
        Pair("de", "File", "File"),
        Pair("ru", "LibreOffice", "LibreOffice"),
        Pair("zh_TW", "檔案(~F)", "~File"),
    ]
    assert list(lines("firefox", pairs)) == [
        Line("deu_Latn", "firefox", "train", "Datei"),
        Line("zho_Hant", "firefox", "train", "檔案"),
    ]


def test_held_out_texts_leave_training_whatever_their_source() -> None:
    corpus = [
        Line("deu_Latn", "cldr-names", "report", "rotes Herz"),
        Line("deu_Latn", "firefox", "train", "Rotes Herz"),
        Line("deu_Latn", "firefox", "train", "blaues Herz"),
        Line("nld_Latn", "firefox", "train", "rotes Herz"),
    ]
    assert settle(corpus) == [corpus[0], corpus[2], corpus[3]]


def test_labels_with_next_to_no_text_leave_unless_they_are_default() -> None:
    few = [Line("bre_Latn", "firefox", "train", "restr"), Line("smo_Latn", "udhr", "train", "tagata uma")]
    assert settle(few) == few[1:]
    much = [Line("bre_Latn", "firefox", "train", f"{number} " + "restr " * 80) for number in range(60)]
    assert settle(much) == much


def test_neighbours_do_not_learn_what_a_default_language_has_too() -> None:
    own = [Line("fao_Latn", "firefox", "train", f"{number} " + "føroyskt " * 80) for number in range(60)]
    danish = Line("dan_Latn", "cldr-names", "report", "rødt hjerte")
    copied = Line("fao_Latn", "cldr-names", "train", "Rødt hjerte")
    assert settle([danish, copied, *own]) == [danish, *own]


def test_declaration_by_paragraph() -> None:
    page = """<header><p>Da die Anerkennung</p></header><article data-number="1"><h2>Artikel 1</h2>
      <p>Alle Menschen <b>sind</b> frei.</p></article>
      <article data-number="30"><ol><li>Keine &amp; nie</li></ol></article>"""
    assert list(paragraphs(page)) == [
        (0, "Da die Anerkennung"),
        (1, "Alle Menschen sind frei."),
        (30, "Keine & nie"),
    ]


def test_fluent_messages_attributes_and_variants() -> None:
    content = """# comment
title = Einstellungen
open-button =
    .label = Öffnen
    .accesskey = f
    .style = width: 12em
tabs =
    { $count ->
        [one] Ein Tab
       *[other] { $count } Tabs
    }
long = Erste Zeile
    und zweite
"""
    assert dict(fluent(content)) == {
        ("title", ""): "Einstellungen",
        ("open-button", ""): "",
        ("open-button", "label"): "Öffnen",
        ("tabs", ""): "",
        ("tabs", "[one]"): "Ein Tab",
        ("tabs", "[other]"): "{ $count } Tabs",
        ("long", ""): "Erste Zeile und zweite",
    }


def test_properties() -> None:
    content = "# c\nopen=Öffnen\nopen.accesskey=f\nlong=Erste \\\nZeile\n"
    assert list(properties(content)) == [(("open",), "Öffnen"), (("long",), "Erste  Zeile")]


def test_strings_of_a_json_value() -> None:
    assert list(strings({"a": {"b": "x"}, "c": ["y"]})) == [(("a", "b"), "x"), (("c", "0"), "y")]


def _mo(path: Path, messages: dict[str, str]) -> None:
    """A compiled catalogue, as `msgfmt` writes it."""
    entries = sorted({"": "Content-Type: text/plain; charset=UTF-8\n", **messages}.items())
    keys, values, data = [], [], b""
    start = 28 + 16 * len(entries)
    for table, index in ((keys, 0), (values, 1)):
        for entry in entries:
            text = entry[index].encode()
            table.append(struct.pack("<2I", len(text), start + len(data)))
            data += text + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(entries), 28, 28 + 8 * len(entries), 0, 0)
    path.parent.mkdir(parents=True)
    path.write_bytes(head + b"".join(keys) + b"".join(values) + data)


def test_compiled_catalogues(tmp_path: Path) -> None:
    _mo(tmp_path / "xh" / "LC_MESSAGES" / "a.mo", {"menu\x04~Open": "~Vula"})
    assert list(read_gettext(tmp_path)) == [Pair("xh", "~Vula", "~Open")]


def test_language_packs_pair_by_key(tmp_path: Path) -> None:
    for code, text in (("en-GB", "Open the file"), ("xh", "Vula ifayile")):
        with zipfile.ZipFile(tmp_path / f"langpack-{code}@firefox.xpi", "w") as pack:
            pack.writestr(f"localization/{code}/browser.ftl", f"open = {text}\n")
    assert list(read_firefox(tmp_path)) == [
        Pair("eng_Latn", "Open the file", "Open the file"),
        Pair("xh", "Vula ifayile", "Open the file"),
    ]


def test_json_catalogues_pair_by_key(tmp_path: Path) -> None:
    for code, text in (("en", "Open"), ("ha", "Buɗe"), ("qqq", "A label")):
        (tmp_path / f"{code}.json").write_text(json.dumps({"open": text}), encoding="utf-8")
    assert set(read_json_catalogues(tmp_path)) == {
        Pair("eng_Latn", "Open", "Open"),
        Pair("ha", "Buɗe", "Open"),
    }


def test_block_editor_messages(tmp_path: Path) -> None:
    folder = tmp_path / "blockly" / "package" / "msg"
    folder.mkdir(parents=True)
    (folder / "en.js").write_text('Blockly.Msg["ADD"] = "Add Comment";\n', encoding="utf-8")
    (folder / "ha.js").write_text(
        'Blockly.Msg["ADD"] = "Daɗa Sharhi";\nBlockly.Msg["ALT"] = "Alt";  // untranslated\n',
        encoding="utf-8",
    )
    assert list(read_blockly(tmp_path)) == [
        Pair("eng_Latn", "Add Comment", "Add Comment"),
        Pair("ha", "Daɗa Sharhi", "Add Comment"),
    ]


def test_names_and_keywords_share_the_english_name(tmp_path: Path) -> None:
    for package, part in (("annotations", "annotations"), ("annotations-derived", "annotationsDerived")):
        for code, name in (("en", "red heart"), ("de", "rotes Herz")):
            folder = tmp_path / f"cldr-{package}-full" / "package" / part / code
            folder.mkdir(parents=True)
            entry = {"tts": [name], "default": ["Herz", name]} if part == "annotations" else {"tts": [name]}
            (folder / "annotations.json").write_text(
                json.dumps({part: {"annotations": {"❤": entry}}}), encoding="utf-8"
            )
    german = [pair for pair in read_cldr_names(tmp_path) if pair.code == "de"]
    assert [pair.text for pair in german] == ["rotes Herz", "Herz", "rotes Herz"]
    assert {pair.english for pair in german} == {"red heart"}
