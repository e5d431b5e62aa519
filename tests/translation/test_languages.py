from __future__ import annotations

import csv
import pickle
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from translation.languages import (
    ENGLISH,
    Language,
    UnknownLanguage,
    default_languages,
    languages,
    resolve,
)

REGISTRY = list(languages().values())
BRIEF = Path(__file__).parents[3] / "shared" / "languages.tsv"


def spellings(language: Language) -> Iterator[str]:
    yield from (language.nllb, language.bcp47, language.name, *language.aliases)
    if language.mc4:
        yield language.mc4


@pytest.fixture(params=REGISTRY, ids=lambda language: language.nllb)
def language(request: pytest.FixtureRequest) -> Language:
    found: Language = request.param
    return found


# The table as a whole


def test_holds_the_202_codes_of_nllb_once_each_and_in_order() -> None:
    text = files("translation").joinpath("languages.tsv").read_text(encoding="utf-8")
    codes = [line.split("\t")[0] for line in text.splitlines()[1:]]
    assert len(codes) == len(REGISTRY) == 202
    assert codes == sorted(set(codes)) == list(languages())


def test_nllbs_tokenizer_knows_the_same_codes() -> None:
    nllb = pytest.importorskip("transformers.models.nllb.tokenization_nllb")
    assert set(languages()) == set(nllb.FAIRSEQ_LANGUAGE_CODES)


def test_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        languages()["xxx_Latn"] = resolve("de")  # type: ignore[index]
    with pytest.raises(AttributeError):
        resolve("de").name = "Deutsch"  # type: ignore[misc]


def test_default_mix_is_96_languages_with_english() -> None:
    codes = [language.nllb for language in default_languages()]
    assert len(codes) == 96
    assert codes == sorted(codes)
    assert [language.nllb for language in default_languages() if language.english] == [ENGLISH]


def test_default_languages_are_those_of_mc4_and_their_shares_sum_to_100() -> None:
    assert all(language.mc4 and language.mc4_share for language in default_languages())
    assert not any(
        language.mc4 or language.mc4_share is not None for language in REGISTRY if not language.default
    )
    assert sum(language.mc4_share or 0 for language in default_languages()) == pytest.approx(100, abs=1e-9)


@pytest.mark.parametrize(
    ("nllb", "bcp47", "mc4", "name", "share"),
    [
        ("deu_Latn", "de", "de", "German", 6.088564321318315),
        ("eng_Latn", "en", "en", "English", 43.84274322288712),
        ("heb_Hebr", "he", "iw", "Hebrew", 0.19636399296789392),
        ("kmr_Latn", "kmr", "ku", "Kurdish (Kurmanji)", 0.00444998702973429),
        ("nob_Latn", "nb", "no", "Norwegian Bokmål", 0.3417524286083547),
        ("tgl_Latn", "fil", "fil", "Filipino", 0.025997864339004244),
        ("yor_Latn", "yo", "yo", "Yoruba", 0.0009667305111171593),
        ("zho_Hans", "zh-Hans", "zh", "Chinese", 2.3961001426070587),
    ],
)
def test_facts_of_default_languages(nllb: str, bcp47: str, mc4: str, name: str, share: float) -> None:
    language = languages()[nllb]
    assert language.default
    assert (language.bcp47, language.mc4, language.name, language.mc4_share) == (bcp47, mc4, name, share)


@pytest.mark.skipif(not BRIEF.exists(), reason="needs ../shared/languages.tsv, outside the repository")
def test_default_languages_match_the_list_they_were_taken_from() -> None:
    with BRIEF.open(encoding="utf-8", newline="") as file:
        wanted = {
            (row["nllb_code"], row["bcp47"], row["mc4_code"], row["name"], float(row["mc4_share_percent"]))
            for row in csv.DictReader(file, delimiter="\t")
        }
    assert wanted == {
        (language.nllb, language.bcp47, language.mc4, language.name, language.mc4_share)
        for language in default_languages()
    }


# Each row


def test_every_spelling_means_this_language_and_no_other(language: Language) -> None:
    """Of two languages with one spelling, one would fail here."""
    for spelling in spellings(language):
        for variant in (spelling, spelling.upper(), spelling.replace("-", "_"), spelling.replace("_", "-")):
            assert resolve(variant) is language, f"{variant!r} means another language too"


@pytest.mark.parametrize(
    ("name", "code"), [("Deutsch", "deu_Latn"), ("日本語", "jpn_Jpan"), ("kiswahili", "swh_Latn")]
)
def test_a_language_may_be_named_in_itself(name: str, code: str) -> None:
    assert resolve(name).nllb == code


def test_bare_iso_code_means_a_script_of_its_own_language(language: Language) -> None:
    assert resolve(language.nllb[:3]).nllb[:3] == language.nllb[:3]


def test_default_languages_have_a_name_in_their_own_letters() -> None:
    for language in default_languages():
        letters = "".join(rf"\p{{Script={script}}}" for script in language.scripts)
        assert regex.fullmatch(rf"[{letters}\p{{Common}}\p{{M}}]+", language.autonym or ""), language.nllb


@pytest.mark.parametrize(
    ("code", "autonym", "right_to_left"),
    [("de", "Deutsch", False), ("ur", "اردو", True), ("yi", "ייִדיש", True), ("zh", "简体中文", False)],
)
def test_names_in_the_language_itself_and_direction(code: str, autonym: str, right_to_left: bool) -> None:
    assert (resolve(code).autonym, resolve(code).right_to_left) == (autonym, right_to_left)


def test_fields_are_filled_and_free_of_repetition(language: Language) -> None:
    assert language.name == language.name.strip() != ""
    assert regex.fullmatch(r"[a-z]{2,3}(-[A-Z][a-z]{3})?", language.bcp47)
    assert len(language.aliases) == len(set(language.aliases))
    assert not {language.nllb, language.bcp47, language.mc4, language.name} & set(language.aliases)


def test_scripts_are_unicode_scripts_with_letters(language: Language) -> None:
    assert language.scripts
    for script in language.scripts:
        assert regex.compile(rf"\p{{Script={script}}}")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("deu", "Größe"),
        ("sr", "јабука"),
        ("el", "μήλο"),
        ("he", "תפוח"),
        ("yi", "עפּל"),
        ("ar", "تفاحة"),
        ("ur", "سیب"),
        ("hi", "सेब"),
        ("bn", "আপেল"),
        ("pa", "ਸੇਬ"),
        ("gu", "સફરજન"),
        ("or", "ସେଓ"),
        ("ta", "ஆப்பிள்"),
        ("te", "ఆపిల్"),
        ("kn", "ಸೇಬು"),
        ("ml", "ആപ്പിൾ"),
        ("si", "ඇපල්"),
        ("th", "แอปเปิล"),
        ("lo", "ແອັບເປິນ"),
        ("my", "ပန်းသီး"),
        ("km", "ផ្លែប៉ោម"),
        ("bo", "ཀུ་ཤུ"),
        ("ka", "ვაშლი"),
        ("hy", "խնձոր"),
        ("am", "ፖም"),
        ("ja", "赤いリンゴ"),
        ("ko", "사과"),
        ("zh", "苹果"),
        ("zh-Hant", "蘋果"),
        ("yue", "蘋果"),
        ("tzm", "ⵜⴰⴷⴼⴼⵓⵢⵜ"),
        ("sat", "ᱥᱮᱵ"),
    ],
)
def test_scripts_cover_the_letters_of_a_word(code: str, text: str) -> None:
    letters = "".join(rf"\p{{Script={script}}}" for script in resolve(code).scripts)
    assert regex.fullmatch(rf"[{letters}\p{{M}}\p{{P}}]+", text)


def test_sentence_marks_are_single_marks_and_hold_the_exclamation_mark(language: Language) -> None:
    marks = language.sentence_marks
    assert len(marks) == len(set(marks))
    assert all(regex.fullmatch(r"[\p{P}|]", mark) for mark in marks)
    # Armenian puts its exclamation and question marks inside the word.
    assert language.nllb == "hye_Armn" or "!" in marks


@pytest.mark.parametrize(
    "sentence",
    [
        ("de", "Ein Hund."),
        ("fr", "Un chien…"),
        ("el", "Είναι σκύλος;"),
        ("ar", "هل هذا كلب؟"),
        ("ur", "یہ ایک کتا ہے۔"),
        ("hi", "यह एक कुत्ता है।"),
        ("mr", "हा कुत्रा आहे."),
        ("ne", "यो कुकुर हो।"),
        ("bn", "এটি একটি কুকুর।"),
        ("pa", "ਇਹ ਇੱਕ ਕੁੱਤਾ ਹੈ।"),
        ("hy", "Սա շուն է։"),
        ("hy", "Սա շուն է:"),
        ("am", "ይህ ውሻ ነው።"),
        ("am", "ይህ ውሻ ነው፡፡"),
        ("my", "ဒါက ခွေးပါ။"),
        ("km", "នេះជាឆ្កែ។"),
        ("ja", "犬です。"),
        ("ja", "犬ですか？"),
        ("zh", "这是狗吗?"),
        ("ko", "개입니다."),
        ("th", "นี่คือสุนัข!"),
        ("bo", "འདི་ཁྱི་རེད།"),
        ("sat", "ᱱᱚᱶᱟ ᱫᱚ ᱥᱮᱛᱟ ᱠᱟᱱᱟ᱾"),
    ],
)
def test_sentence_ends_with_a_mark_of_its_language(sentence: tuple[str, str]) -> None:
    code, text = sentence
    assert text[-1] in resolve(code).sentence_marks


def test_semicolon_and_danda_end_sentences_only_where_they_should() -> None:
    assert [language.nllb for language in REGISTRY if ";" in language.sentence_marks] == ["ell_Grek"]
    assert "।" not in resolve("gu").sentence_marks + resolve("ta").sentence_marks


def test_confusable_languages_share_the_script_and_point_back(language: Language) -> None:
    assert language.nllb not in language.confusable
    assert len(set(language.confusable)) == len(language.confusable)
    for code in language.confusable:
        other = languages()[code]
        assert other.scripts == language.scripts
        assert language.nllb in other.confusable


@pytest.mark.parametrize(
    "pair", ["id ms", "nb da", "nb nn", "gl pt", "xh zu", "cs sk", "af nl", "mk sr", "hr bs", "fa prs"]
)
def test_siblings_are_confusable(pair: str) -> None:
    first, second = map(resolve, pair.split())
    assert second.nllb in first.confusable


@pytest.mark.parametrize("pair", ["nb sv", "es pt", "ru uk", "en de", "ur fa", "cs pl", "he yi"])
def test_neighbours_that_identifiers_tell_apart_are_not_confusable(pair: str) -> None:
    first, second = map(resolve, pair.split())
    assert second.nllb not in first.confusable


# resolve


@pytest.mark.parametrize(
    ("codes", "nllb"),
    [
        ("zh zho cmn chi zh-CN zh_CN zh-Hans zh-Hans-CN zh-SG cmn_Hans zho-CN Chinese CHINESE", "zho_Hans"),
        ("zh-TW zh-Hant zh_HK zh-Hant-TW cmn-Hant zho_Hant", "zho_Hant"),
        ("ku kur kmr ku-Latn kurmanji", "kmr_Latn"),
        ("ckb ku-Arab sorani", "ckb_Arab"),
        ("sr srp scc sr-Cyrl srp-Cyrl Serbian", "srp_Cyrl"),
        ("ar ara arb", "arb_Arab"),
        ("fa fas per pes farsi", "pes_Arab"),
        ("prs fa-AF", "prs_Arab"),
        ("lv lav lvs", "lvs_Latn"),
        ("et est ekk", "est_Latn"),
        ("mn mon khk mn-Cyrl", "khk_Cyrl"),
        ("ms msa may zsm", "zsm_Latn"),
        ("ne nep npi", "npi_Deva"),
        ("ps pus pbt", "pbt_Arab"),
        ("sq sqi alb als", "als_Latn"),
        ("sw swa swh", "swh_Latn"),
        ("mg mlg plt", "plt_Latn"),
        ("uz uzb uzn uz-Latn", "uzn_Latn"),
        ("yi yid ydd ji", "ydd_Hebr"),
        ("az aze azj aze-Latn", "azj_Latn"),
        ("azb az-Arab", "azb_Arab"),
        ("iw he heb", "heb_Hebr"),
        ("fil tl tgl Tagalog Filipino", "tgl_Latn"),
        ("jv jw jav", "jav_Latn"),
        ("no nb nor nob nb-NO", "nob_Latn"),
        ("nn nno", "nno_Latn"),
        ("id in ind", "ind_Latn"),
        ("ro ron rum mo", "ron_Latn"),
        ("de deu ger GERMAN Deu-latn", "deu_Latn"),
        ("en eng en-US en_GB", "eng_Latn"),
        ("pt por pt-BR pt_PT", "por_Latn"),
        ("hr hrv scr", "hrv_Latn"),
        ("bs bos", "bos_Latn"),
        ("sat sat_Beng sat_Olck", "sat_Beng"),
        ("ks kas kas_Arab", "kas_Arab"),
        ("ks-Deva kas-Deva", "kas_Deva"),
        ("om orm gaz", "gaz_Latn"),
    ],
)
def test_codes_macro_codes_and_old_codes(codes: str, nllb: str) -> None:
    assert {code: resolve(code).nllb for code in codes.split()} == dict.fromkeys(codes.split(), nllb)


@pytest.mark.parametrize(
    ("name", "nllb"),
    [
        ("Norwegian Bokmål", "nob_Latn"),
        ("Norwegian Bokma\u030al", "nob_Latn"),
        ("norwegian bokmal", "nob_Latn"),
        (" Scottish  Gaelic\n", "gla_Latn"),
        ("Kurdish (Kurmanji)", "kmr_Latn"),
        ("Northern Kurdish", "kmr_Latn"),
        ("Chinese (Traditional)", "zho_Hant"),
        ("Chinese (Simplified)", "zho_Hans"),
        ("Ta'izzi-Adeni Arabic", "acq_Arab"),
    ],
)
def test_names_in_any_case_spacing_and_with_or_without_accents(name: str, nllb: str) -> None:
    assert resolve(name).nllb == nllb


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        ("deu_Ltn", "deu_Latn"),
        ("germn", "deu_Latn"),
        ("frnch", "fra_Latn"),
        ("swahilli", "swh_Latn"),
        ("nld_Lath", "nld_Latn"),
        ("tlg", "tgl_Latn"),
        # NLLB has no Serbian in Latin letters.
        ("srp_Latn", "srp_Cyrl"),
        ("sr-Latn", "srp_Cyrl"),
        ("pt-AO", "por_Latn"),
        ("zho_Hanz", "zho_Hans"),
        ("kat_Latn", "kat_Geor"),
    ],
)
def test_unknown_code_names_the_nearest_valid_ones(typo: str, meant: str) -> None:
    with pytest.raises(UnknownLanguage) as caught:
        resolve(typo)
    assert caught.value.code == typo
    assert caught.value.nearest[0] == meant
    assert repr(typo) in str(caught.value)
    assert meant in str(caught.value)


def test_unknown_code_offers_all_scripts_of_its_language() -> None:
    with pytest.raises(UnknownLanguage) as caught:
        resolve("kas_Latn")
    assert caught.value.nearest[:2] == ["kas_Arab", "kas_Deva"]


@pytest.mark.parametrize("code", ["", "  ", "xx", "zz_Zzzz", "_", "-"])
def test_nothing_near_is_said_without_a_guess(code: str) -> None:
    with pytest.raises(UnknownLanguage) as caught:
        resolve(code)
    assert caught.value.nearest == []
    assert "did you mean" not in str(caught.value)


def test_long_text_by_mistake_gives_a_short_message() -> None:
    with pytest.raises(UnknownLanguage) as caught:
        resolve("a caption in the wrong column " * 4000)
    assert len(str(caught.value)) < 200


def test_error_survives_the_way_between_processes() -> None:
    with pytest.raises(UnknownLanguage) as caught:
        resolve("germn")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.code, copy.nearest) == (str(caught.value), "germn", caught.value.nearest)


@given(st.text() | st.sampled_from(sorted(languages())).flatmap(lambda code: st.text().map(code.__add__)))
def test_any_text_is_a_language_or_an_unknown_one(text: str) -> None:
    try:
        nearest = [resolve(text).nllb]
    except UnknownLanguage as error:
        nearest = error.nearest
    assert len(nearest) <= 3
    assert set(nearest) <= set(languages())
