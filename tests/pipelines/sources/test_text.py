"""Plain text becomes one example a line, in the language that the recipe or the path names."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.examples import Reject, Text
from pipelines.recipe import Recipe, SettingsError
from pipelines.records import Record, Written
from pipelines.sources import line_blocks, lines, pieces, read_records
from pipelines.sources import text as text_lines
from tests.pipelines.sources.conftest import MakeRecipe, examples, read_all

STORY = "Once upon a time there was a dog. It barked. It slept."


def recipe_of(make_recipe: MakeRecipe, path: str, **source: Any) -> Recipe:
    return make_recipe(format="text", path=path, **source)


def read(recipe: Recipe) -> list[Record | Reject]:
    return [one for piece in pieces(recipe) for one in read_records(recipe, piece)]


def written(recipe: Recipe) -> list[tuple[str, str | None, str]]:
    return [(one.source_id, one.language, one.text) for one in read(recipe) if isinstance(one, Written)]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_record_a_line(tmp_path: Path, make_recipe: MakeRecipe, ending: str) -> None:
    content = f"\ufeff One é. {ending}{ending}  {ending}Two.{ending}Three."
    (tmp_path / "x.txt").write_bytes(content.encode())
    found = written(recipe_of(make_recipe, "x.txt"))
    assert [(language, text) for _, language, text in found] == [
        (None, "One é."),
        (None, "Two."),
        (None, "Three."),
    ]
    for source_id, _, text in found:
        assert content.encode()[int(source_id.removeprefix("x@")) :].startswith(text.encode())


def test_english_is_translated_and_other_languages_stay(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "x.txt").write_text(STORY)
    (english,) = examples(read_all(recipe_of(make_recipe, "x.txt", language="en")))
    (german,) = examples(read_all(recipe_of(make_recipe, "x.txt", language="German")))
    assert (english.language, german.language) == (None, "deu_Latn")
    assert english.target == Text("It barked. It slept.")
    assert german.target == Text("It barked. It slept.", translate=False)
    assert (english.image, english.image_id) == (None, None)


@pytest.mark.parametrize(
    ("path", "file", "language"),
    [
        ("wiki/{language}.txt", "wiki/de.txt", "deu_Latn"),
        ("wiki [1]/{language}.txt", "wiki [1]/de.txt", "deu_Latn"),
        ("wiki.{language}", "wiki.zh-Hans", "zho_Hans"),
        ("{language}/*.txt", "pt_BR/a.txt", "por_Latn"),
        ("{language}/**/*.txt", "iw/a/b/c.txt", "heb_Hebr"),
        ("**/{language}.txt", "a/b/tur_Latn.txt", "tur_Latn"),
        ("**/{language}.txt", "tr.txt", "tur_Latn"),
        ("{language}/{language}.[0-9]?.txt", "fr/fr.01.txt", "fra_Latn"),
        ("{language}-*.txt", "zh-Hant-00.txt", "zho_Hant"),
        ("x.{language}.[!a]", "x.Yoruba.b", "yor_Latn"),
        ("wiki/{language}.txt", "wiki/en.txt", None),
        ("a+b (c)/{language}.txt", "a+b (c)/ja.txt", "jpn_Jpan"),
    ],
)
def test_the_language_may_stand_in_the_path(
    tmp_path: Path, make_recipe: MakeRecipe, path: str, file: str, language: str | None
) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("A text.\n")
    assert [found for _, found, _ in written(recipe_of(make_recipe, path))] == [language]


def test_files_of_several_languages(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    for code in ("de", "en", "fr"):
        (tmp_path / f"wiki.{code}").write_text(f"{code}.\n")
    assert written(recipe_of(make_recipe, "wiki.{language}")) == [
        ("wiki.de@0", "deu_Latn", "de."),
        ("wiki.en@0", None, "en."),
        ("wiki.fr@0", "fra_Latn", "fr."),
    ]


@pytest.mark.parametrize(
    ("path", "files", "source", "key", "words"),
    [
        ("{language}.txt", ["de.txt", "xx.txt"], {}, "path", "xx.txt: unknown language 'xx'"),
        # Serbian in Latin letters is no language of the registry, and not the one in Cyrillic.
        ("{language}-*.txt", ["sr-Latn-0.txt"], {}, "path", "unknown language 'sr-Latn'"),
        ("{language}/{language}.txt", ["de/fr.txt"], {}, "path", "stands for different texts in its path"),
        ("{language}.txt", ["de.txt"], {"language": "fr"}, "language", "de.txt is in deu_Latn by its path"),
        ("{language}.txt", ["en.txt"], {"language": "fr"}, "language", "en.txt is in eng_Latn by its path"),
    ],
)
def test_a_wrong_language_is_a_wrong_recipe(
    tmp_path: Path,
    make_recipe: MakeRecipe,
    path: str,
    files: list[str],
    source: dict[str, Any],
    key: str,
    words: str,
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text("A.\n")
    with pytest.raises(SettingsError) as caught:
        pieces(recipe_of(make_recipe, path, **source))
    assert words in str(caught.value)
    assert caught.value.key == f"sources.0.{key}"


def test_the_same_language_may_stand_in_both(tmp_path: Path, make_recipe: MakeRecipe) -> None:
    (tmp_path / "de.txt").write_text("A.\n")
    assert written(recipe_of(make_recipe, "{language}.txt", language="deu_Latn")) == [
        ("de@0", "deu_Latn", "A.")
    ]


@pytest.mark.parametrize(
    ("content", "words"), [(b"\x1f\x8b\x08", "is compressed"), ("A.".encode("utf-16"), "is UTF-16")]
)
def test_a_file_of_another_kind_is_a_wrong_recipe(
    tmp_path: Path, make_recipe: MakeRecipe, content: bytes, words: str
) -> None:
    (tmp_path / "x.txt").write_bytes(content)
    with pytest.raises(SettingsError, match=words):
        pieces(recipe_of(make_recipe, "x.txt"))


BAD = [
    (b"caf\xe9 au lait", "no UTF-8 at byte 11 (0xe9)"),
    (b"a\0b", "the text holds NUL at character 1"),
    ("\u200b".encode(), "the text is empty"),
    (b"x" * 11_000_000, "line of 11,000,001 bytes, at most 10,485,760"),
]


@pytest.mark.parametrize(("line", "words"), BAD, ids=[words[:20] for _, words in BAD])
def test_a_malformed_line_is_rejected_alone(
    tmp_path: Path, make_recipe: MakeRecipe, line: bytes, words: str
) -> None:
    (tmp_path / "x.txt").write_bytes(b"Before.\n" + line + b"\nBehind.")
    first, bad, last = read(recipe_of(make_recipe, "x.txt"))
    assert isinstance(bad, Reject)
    assert bad.reason.startswith("source: x.txt byte 8: ")
    assert words in bad.reason
    assert len(bad.record) <= 2_000
    assert [one.text for one in (first, last) if isinstance(one, Written)] == ["Before.", "Behind."]


@pytest.mark.parametrize("piece_bytes", [1, 7, 1_000])
def test_the_pieces_decide_nothing(
    tmp_path: Path, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    texts = ["é" * n if n % 4 else "\0" * n for n in range(20)]
    (tmp_path / "x.txt").write_bytes(b"\xef\xbb\xbf" + "\n".join(texts).encode())
    recipe = recipe_of(make_recipe, "x.txt", language="de")
    whole = read(recipe)
    assert len(whole) == 19
    monkeypatch.setattr(lines, "PIECE_BYTES", piece_bytes)
    assert read(recipe) == whole


_PARTS = st.sampled_from(
    [
        b"a",
        b"One. ",
        "é.".encode(),
        b" ",
        b"\t",
        b"\r",
        b"\0",
        b"\x1c",
        b"\x7f",
        b"\xff",
        b"-",
        "\ufeff".encode(),
        "\u2028".encode(),
        "\u3000".encode(),
        b"<image>",
        b"&amp;",
    ]
)
_LINE = st.lists(_PARTS, max_size=4).map(b"".join)


@given(contents=st.lists(_LINE, max_size=12), block=st.integers(1, 60), closed=st.booleans())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_many_lines_say_is_what_each_says(
    make_recipe: MakeRecipe, tmp_path: Path, contents: list[bytes], block: int, closed: bool
) -> None:
    (tmp_path / "x.txt").write_bytes(b"\n".join([b"First.", *contents]) + b"\n" * closed)
    recipe = recipe_of(make_recipe, "x.txt", language="de")
    read_all(recipe)
    whole = read(recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_lines, "blocks", partial(line_blocks.blocks, block=block))
        assert read(recipe) == whole
