"""`translate-mix memory` and the files it exchanges with other programs."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipelines.cli import main
from pipelines.exchange import Pair, read_pairs
from tests.pipelines.remote_folder import RemoteFolder
from translation.languages import languages
from translation.memory import Memory, Origin, begin, finish, unfinished_number
from translation.memory_segments import SegmentFolder
from translation.mix_folder import MEMORY
from translation.translations import Request, Translation

ENGINE = Origin("ctranslate2-4", "0123456789abcdef", '{"beam_size": 4}')

TEXTS = [
    "a cat", "two\nlines\r\nand\ta tab", "1 < 2 & \"3\" > '2'", " spaces  around ", "猫 🐈‍⬛ नमस्ते",
    "back\\slash\\t", "]]>", "\ufeffmark",
]  # fmt: skip


def fill(mix: Path, texts: Sequence[str] = TEXTS, run: str = "run", score: float = -0.5) -> None:
    """As a run with a round trip does, into two languages."""
    folder = str(mix / MEMORY)
    begin(folder, run)
    with Memory(folder) as memory:
        for number, (source, target) in enumerate(
            [("eng_Latn", "deu_Latn"), ("eng_Latn", "zho_Hans"), ("deu_Latn", "eng_Latn")]
        ):
            requests = [Request(text, source, target) for text in texts]
            made = [
                Translation(f"{text} {target}", score, cut_off=False, unknown=False, empty=False)
                for text in texts
            ]
            memory.add(ENGINE, bytes([number]) * 16, requests, made, whole=False)
        questions = [Request("Is it? yes.", "eng_Latn", "deu_Latn")]
        answer = Translation("Ist es? ja.", -1.0, cut_off=False, unknown=False, empty=False)
        memory.add(ENGINE, b"q" * 16, questions, [answer], whole=True)
    finish(folder)


def call(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["memory", *map(str, arguments)])
    assert isinstance(stopped.value.code, int)
    return stopped.value.code


def pairs(path: Path) -> set[tuple[str, str, str]]:
    found = list(read_pairs(path))
    assert all(isinstance(one, Pair) for one in found)
    return {(one.text, one.target, one.translation) for one in found if isinstance(one, Pair)}


EXPECTED = {(text, code, f"{text} {code}") for text in TEXTS for code in ("deu_Latn", "zho_Hans")}


def test_stats_count_by_model_and_languages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path)
    fill(tmp_path, TEXTS[:2], "again")
    assert call("stats", tmp_path, "--json") == 0
    stats = json.loads(capsys.readouterr().out)
    assert (stats["entries"], stats["repeated"], stats["segments"]) == (3 * 8 + 1 + 3 * 2 + 1, 7, 8)
    assert stats["size"] == sum(path.stat().st_size for path in (tmp_path / MEMORY).iterdir())
    german = [group for group in stats["groups"] if group["target"] == "deu_Latn"]
    assert german == [
        {
            "engine": ENGINE.engine, "model": ENGINE.model, "decoding": ENGINE.decoding,
            "source": "eng_Latn", "target": "deu_Latn", "entries": 8 + 1 + 2 + 1,
        }
    ]  # fmt: skip
    assert call("stats", tmp_path) == 0
    table = capsys.readouterr().out
    assert "ctranslate2-4" in table
    assert "32 entries (7 repeated)" in table


def test_compact_says_what_it_did_and_stats_tell_of_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    fill(tmp_path, TEXTS[:2], "again")
    victim = next((tmp_path / MEMORY).glob("*.parquet"))
    victim.write_bytes(victim.read_bytes()[:-3])
    assert call("stats", tmp_path) == 1
    assert "1 damaged file" in capsys.readouterr().err
    assert call("compact", tmp_path) == 0
    assert "segments became 1;" in capsys.readouterr().out
    assert len(list((tmp_path / MEMORY).iterdir())) == 1
    assert call("stats", tmp_path) == 0
    assert not (tmp_path / ".work").exists()


@pytest.mark.parametrize("suffix", [".tmx", ".tsv"])
def test_export_and_import_keep_every_character(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "mix")
    fill(tmp_path / "mix", TEXTS[:2], "again", score=-0.25)
    file = tmp_path / f"memory{suffix}"
    assert call("export", tmp_path / "mix", file) == 0
    assert "16 translations" in capsys.readouterr().out
    assert pairs(file) == EXPECTED
    assert call("import", tmp_path / "new", file) == 0
    assert "16 translations imported" in capsys.readouterr().out
    assert call("export", tmp_path / "new", tmp_path / f"again{suffix}") == 0
    assert pairs(tmp_path / f"again{suffix}") == EXPECTED
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [MEMORY]


@pytest.mark.parametrize("suffix", [".tmx", ".tsv"])
def test_a_file_far_away_is_written_and_read(remote: RemoteFolder, tmp_path: Path, suffix: str) -> None:
    fill(tmp_path / "mix")
    assert call("export", tmp_path / "mix", remote.url(f"memory{suffix}")) == 0
    assert call("import", tmp_path / "new", remote.url(f"memory{suffix}")) == 0
    assert call("export", tmp_path / "new", tmp_path / f"again{suffix}") == 0
    assert pairs(tmp_path / f"again{suffix}") == EXPECTED
    assert call("import", tmp_path / "new", remote.url(f"missing{suffix}")) == 2


def test_broken_translations_are_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "mix", TEXTS[:1])
    with Memory(str(tmp_path / "mix" / MEMORY)) as memory:
        texts = ["cut", "strange", "nothing"]
        made = [
            Translation("Ein ab", -1, cut_off=True, unknown=False, empty=False),
            Translation("Ein ", -1, cut_off=False, unknown=True, empty=False),
            Translation("", -1, cut_off=False, unknown=False, empty=True),
        ]
        requests = [Request(text, "eng_Latn", "deu_Latn") for text in texts]
        memory.add(ENGINE, b"b" * 16, requests, made, whole=False)
    assert call("export", tmp_path / "mix", tmp_path / "memory.tsv") == 0
    told = capsys.readouterr()
    assert "2 translations" in told.out
    assert "3 that were cut off, empty or unknown to the model are left out" in told.err
    assert {text for _, text, _ in pairs(tmp_path / "memory.tsv")}.isdisjoint(texts)


def test_the_mark_that_a_finished_run_could_not_take_away_is_no_obstacle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path)
    folder = str(tmp_path / MEMORY)
    begin(folder, "killed at its end")
    assert call("compact", tmp_path) == 0
    assert unfinished_number(SegmentFolder(folder)) is not None
    (tmp_path / "manifest.json").write_text("{}")
    assert call("compact", tmp_path) == 0
    assert unfinished_number(SegmentFolder(folder)) is None
    assert "unfinished" not in capsys.readouterr().out.splitlines()[-1]


def test_an_exported_tmx_is_what_the_standard_asks_for(tmp_path: Path) -> None:
    fill(tmp_path / "mix")
    file = tmp_path / "memory.tmx"
    assert call("export", tmp_path / "mix", file) == 0
    root = ET.parse(file).getroot()
    assert (root.tag, root.get("version")) == ("tmx", "1.4")
    header, body = root
    assert {
        "creationtool",
        "creationtoolversion",
        "segtype",
        "o-tmf",
        "adminlang",
        "srclang",
        "datatype",
    } <= set(header.keys())
    tag = "{http://www.w3.org/XML/1998/namespace}lang"
    assert {side.get(tag) for unit in body for side in unit.iter("tuv")} == {
        languages()[code].bcp47 for code in ("eng_Latn", "deu_Latn", "zho_Hans")
    }
    assert [prop.get("type") for prop in body[0].iter("prop")] == ["x-engine", "x-model", "x-decoding"]


def test_a_language_that_only_a_later_version_knows_is_exported_by_its_code(tmp_path: Path) -> None:
    folder = str(tmp_path / "mix" / MEMORY)
    begin(folder, "run")
    with Memory(folder) as memory:
        made = Translation("un gatu", -0.5, cut_off=False, unknown=False, empty=False)
        memory.add(ENGINE, bytes(16), [Request("a cat", "eng_Latn", "xyz_Latn")], [made], whole=False)
    finish(folder)
    assert call("export", tmp_path / "mix", tmp_path / "memory.tmx") == 0
    assert 'xml:lang="xyz-Latn"' in (tmp_path / "memory.tmx").read_text(encoding="utf-8")


def test_text_that_xml_cannot_hold_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "mix", ["a cat", "a \u0007 bell"])
    assert call("export", tmp_path / "mix", tmp_path / "memory.tmx") == 0
    assert "2 with control characters" in capsys.readouterr().err
    assert call("export", tmp_path / "mix", tmp_path / "memory.tsv") == 0
    assert ("a \u0007 bell", "deu_Latn", "a \u0007 bell deu_Latn") in pairs(tmp_path / "memory.tsv")


FOREIGN = """<?xml version="1.0"?>
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4"><header srclang="en-US"/><body>
<tu><tuv xml:lang="EN-us">
 <seg>a <bpt i="1">&lt;b&gt;</bpt>red<ept i="1">&lt;/b&gt;</ept> <hi>cat</hi>.</seg></tuv>
 <tuv xml:lang="de-AT"><seg>eine rote Katze.</seg></tuv><tuv lang="zh-TW"><seg>紅貓。</seg></tuv></tu>
<tu><tuv xml:lang="fr"><seg>chat</seg></tuv><tuv xml:lang="de"><seg>Katze</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>dog</seg></tuv><tuv xml:lang="tlh"><seg>targh</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>dog</seg></tuv><tuv xml:lang="sw"><seg> </seg></tuv></tu>
</body></tmx>
"""


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_tmx_of_other_programs_is_read_and_what_is_no_use_is_named(
    tmp_path: Path, encoding: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "foreign.tmx"
    file.write_bytes(FOREIGN.encode(encoding))
    assert call("import", tmp_path / "mix", file) == 0
    said = capsys.readouterr()
    assert "2 translations imported" in said.out
    assert len(said.err.splitlines()) == 3
    assert "unit 2 left out: needs English" in said.err
    assert "unit 3 left out: unknown language 'tlh'" in said.err
    assert "unit 4 left out: the translation is empty" in said.err
    assert call("export", tmp_path / "mix", tmp_path / "out.tsv") == 0
    assert pairs(tmp_path / "out.tsv") == {
        ("a red cat.", "deu_Latn", "eine rote Katze."),
        ("a red cat.", "zho_Hant", "紅貓。"),
    }


@pytest.mark.parametrize(
    ("name", "content", "code", "message"),
    [
        ("a.csv", "x", 2, "must end in .tmx or .tsv"),
        ("a.tsv", "source\ttarget\nx\ty\n", 2, "a.tsv:1: no column nllb_code"),
        ("a.tsv", "", 2, "is empty"),
        ("a.tmx", "<html/>", 2, "its root is <html>"),
        ("a.tmx", '<?xml version="1.0" encoding="zlib"?><tmx/>', 2, "a.tmx: cannot be read as XML"),
        ("a.tmx", '<?xml version="1.0" encoding="utf-7"?><tmx/>', 2, "a.tmx: cannot be read as XML"),
        ("a.tmx", FOREIGN[:-60], 1, "no whole XML after unit"),
        ("a.tsv", b"source\ttarget\tnllb_code\n\xff\tx\tde\n", 1, "a.tsv:2: no UTF-8"),
        ("a.tsv", "source\ttarget\tnllb_code\na\tb\n", 1, "2 columns, 3 wanted"),
    ],
)
def test_a_wrong_or_damaged_file_adds_nothing(
    tmp_path: Path,
    name: str,
    content: str | bytes,
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / name
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    assert call("import", tmp_path / "mix", file) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "mix").exists()


def test_commands_name_a_mix_without_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["stats"], ["compact"], ["export"]):
        file = ["out.tsv"] if command == ["export"] else []
        assert call(*command, tmp_path, *file) == 2
        assert "no translation memory" in capsys.readouterr().err
    assert call("import", tmp_path, tmp_path / "none.tsv") == 2
    assert "no such file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_last_of_several_imported_translations_counts(tmp_path: Path) -> None:
    for number, german in enumerate(["Kater", "Katze"]):
        file = tmp_path / f"{number}.tsv"
        file.write_text(
            f"nllb_code\tsource\ttarget\nde\ta cat\tfalsch\nde\ta cat\t{german}\n", encoding="utf-8"
        )
        assert call("import", tmp_path / "mix", file) == 0
        assert call("export", tmp_path / "mix", tmp_path / "out.tsv") == 0
        assert pairs(tmp_path / "out.tsv") == {("a cat", "deu_Latn", german)}


def test_units_of_tmx_with_too_much_in_them_are_left_out(tmp_path: Path) -> None:
    deep = "<hi>" * 50_000 + "Hund" + "</hi>" * 50_000
    sides = '<tuv xml:lang="en"><seg>dog</seg></tuv>'
    units = [
        f'<tu>{sides}<tuv xml:lang="de"><seg>{deep}</seg></tuv></tu>',
        f"<tu>{sides * 1_000}</tu>",
        f'<tu>{sides}<tuv xml:lang="de"><seg>Hund</seg></tuv></tu>',
    ]
    file = tmp_path / "a.tmx"
    file.write_text(f"<tmx><header/><body>{''.join(units)}</body></tmx>")
    deeply, many, pair = read_pairs(file)
    assert "nested too deeply" in str(deeply)
    assert "has: en, en, en, en, en and 995 more" in str(many)
    assert pair == Pair("dog", "deu_Latn", "Hund")
