"""Which label of the identifier a locale code and a text belong to: the registry's NLLB code where it has
one.

The script is read from the letters, never from the code alone: catalogues call both Serbian alphabets `sr`,
and Kurmanji, Sorani and Kurdish in Cyrillic `ku`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from translation.languages import Language, UnknownLanguage, languages, resolve

_SCRIPTS = {
    "LATIN": "Latn", "CYRILLIC": "Cyrl", "ARABIC": "Arab", "DEVANAGARI": "Deva", "GREEK": "Grek",
    "CJK": "Hani", "HIRAGANA": "Kana", "KATAKANA": "Kana", "KATAKANA-HIRAGANA": "Kana", "HANGUL": "Hang",
    "THAI": "Thai", "LAO": "Laoo", "KHMER": "Khmr", "MYANMAR": "Mymr", "TIBETAN": "Tibt", "ETHIOPIC": "Ethi",
    "HEBREW": "Hebr", "ARMENIAN": "Armn", "GEORGIAN": "Geor", "BENGALI": "Beng", "TAMIL": "Taml",
    "TELUGU": "Telu", "KANNADA": "Knda", "MALAYALAM": "Mlym", "GUJARATI": "Gujr", "GURMUKHI": "Guru",
    "ORIYA": "Orya", "SINHALA": "Sinh", "OL": "Olck", "TIFINAGH": "Tfng", "THAANA": "Thaa", "SYRIAC": "Syrc",
    "CHEROKEE": "Cher", "CANADIAN": "Cans", "NKO": "Nkoo", "ADLAM": "Adlm", "MONGOLIAN": "Mong",
    "MEETEI": "Mtei", "YI": "Yiii",
}  # fmt: skip
"""First word of a letter's Unicode name to its ISO 15924 code."""

_SCRIPTS_OF_CODE = {
    "Jpan": {"Kana", "Hani"}, "Hans": {"Hani"}, "Hant": {"Hani"}, "Hang": {"Hang", "Hani"},
}  # fmt: skip

_ISO_639_3 = {
    "aa": "aar", "ab": "abk", "an": "arg", "br": "bre", "ce": "che", "co": "cos", "cu": "chu", "cv": "chv",
    "dv": "div", "fy": "fry", "gv": "glv", "ia": "ina", "ie": "ile", "ii": "iii", "io": "ido", "iu": "iku",
    "kl": "kal", "kw": "cor", "la": "lat", "nr": "nbl", "nv": "nav", "os": "oss", "rm": "roh", "se": "sme",
    "to": "ton", "ve": "ven", "vo": "vol", "wa": "wln", "za": "zha", "na": "nau", "ch": "cha", "bi": "bis",
    "nah": "nhn", "sq": "als", "zh": "zho",
}  # fmt: skip
"""Two-letter codes (and one collective) of languages outside the registry."""

_SAME = {
    "fr-BE": "fra_Latn", "pt-BR": "por_Latn", "pt-PT": "por_Latn", "nb-NO": "nob_Latn", "no": "nob_Latn",
    "zh": "zho_Hans", "zh-CN": "zho_Hans", "zh-SG": "zho_Hans", "zh-Hans": "zho_Hans", "chi-sim": "zho_Hans",
    "zh-TW": "zho_Hant", "zh-HK": "zho_Hant", "zh-MO": "zho_Hant", "zh-Hant": "zho_Hant",
    "chi-tra": "zho_Hant", "zh-Hant-HK": "zho_Hant", "zh-Hant-MO": "zho_Hant", "yue": "yue_Hant",
    "ja-Hira": "jpn_Jpan",
    "gug": "grn_Latn", "in": "ind_Latn", "iw": "heb_Hebr", "nor": "nob_Latn", "lav": "lvs_Latn",
    "sh-latn": "srp_Latn", "nn-NO": "nno_Latn", "skr-arab": "skr_Arab", "pa-PK": "pan_Arab",
    "pnb": "pan_Arab", "bcc": "bal_Arab", "ha-NG": "hau_Latn",
}  # fmt: skip

_OUTSIDE = frozenset({
    "bre_Latn", "fry_Latn", "hsb_Latn", "dsb_Latn", "roh_Latn", "chv_Cyrl", "che_Cyrl", "abk_Cyrl",
    "div_Thaa", "syr_Syrc", "chr_Cher", "iku_Cans", "kok_Deva", "skr_Arab",
})  # fmt: skip
"""Languages outside the registry that are learnt. Others only take texts from their siblings there, from
those with little text most: Tongan from Samoan, Southern Ndebele from Zulu, Interlingua from all that is
Romance.
"""

_OTHER_SCRIPTS = frozenset(
    {"srp_Latn", "bos_Cyrl", "uzn_Cyrl", "azj_Cyrl", "kaz_Latn", "tat_Latn", "pan_Arab"}
)
"""Languages that are also written in a script which the registry does not list for them."""

_LEFT_OUT = frozenset({
    "en", "als", "simple", "sco", "pcm", "tlh", "qqq", "qqx", "und", "tok", "jbo", "lzh", "wuu", "gan", "hak",
    "cdo",
    "be-tarask", "be@tarask", "be-x-old", "yue-hans", "fa-AF", "hi-Latn", "hi_Latn", "nds-nl", "map-bms",
    "fiu-vro", "zh-Latn", "zh-min-nan", "nan", "roa-tara", "roa-rup", "bat-smg", "cbk-zam", "sh", "cnr",
    "hif-latn", "kk-Arab", "kk-cn", "kk-tr", "ug-latn", "frm", "enm", "osd", "egl", "rsk", "hyw", "crh-ro",
    "ky-Arab", "ms-arab", "cr", "got", "ang", "pi", "sa-latn", "tt-latn", "ks-latn", "vmw", "ota",
    "ita-old", "spa-old", "kat-old", "deu-frak", "no-NY", "mn-Mong",
})  # fmt: skip
"""Constructed or written like a sibling so closely that a short text cannot tell (Scots, Taraškievica, Dari's
few names), old forms, and the documentation pseudo-languages of message catalogues. English comes from the
sources of the texts, not from its regional catalogues."""

_LEFT_OUT_FOLDED = frozenset(code.lower().replace("_", "-") for code in _LEFT_OUT)
_SAME_FOLDED = {code.lower(): label for code, label in _SAME.items()}


@cache
def script_of(character: str) -> str | None:
    """ISO 15924 code of a letter's script, None for anything but a letter of a known script."""
    if not (character.isalpha() or unicodedata.category(character)[0] == "M"):
        return None
    return _SCRIPTS.get(unicodedata.name(character, "").split(" ")[0].split("-")[0])


def main_script(text: str) -> str | None:
    """The script of most letters of a text, None without letters."""
    scripts = [script for script in map(script_of, text) if script]
    if not scripts:
        return None
    # Of two with as many letters the first one in the text.
    return "Kana" if "Kana" in scripts else max(dict.fromkeys(scripts), key=scripts.count)


@cache
def scripts_of(label: str) -> frozenset[str]:
    """The scripts, as `script_of` names them, that texts of a label are written in."""
    language = languages().get(label)
    if language and language.scripts == ("Ol_Chiki",):
        return frozenset({"Olck"})
    code = label.rpartition("_")[2]
    return frozenset(_SCRIPTS_OF_CODE.get(code, {code}))


def label_of(code: str, text: str) -> str | None:
    """The label of a text that a catalogue files under a locale code, None where it should not be learnt.

    `sr-Latn` and `sr` in Latin letters give `srp_Latn`, `pt-BR` gives `por_Latn`, `zh-TW` `zho_Hant`; a
    language that the registry does not have is named in the same way, `bre_Latn`.
    """
    folded = _fold(code)
    if folded in _LEFT_OUT_FOLDED or folded.startswith("en-"):
        return None
    script = main_script(text)
    if script is None:
        return None
    same = _SAME_FOLDED.get(folded)
    if same:
        return same if script in scripts_of(same) else None
    stem = folded.split("-")[0]
    if not re.fullmatch("[a-z]{2,3}", stem):
        return None
    if stem in ("zh", "zho", "yue"):
        chinese = "yue_Hant" if stem == "yue" else "zho_Hant" if "hant" in folded else "zho_Hans"
        return chinese if script == "Hani" else None
    language = _language(stem)
    if language is None:
        outside = f"{_ISO_639_3.get(stem, stem)}_{script}"
        return outside if outside in _OUTSIDE else None
    if script in scripts_of(language.nllb):
        return language.nllb
    other = f"{language.nllb[:3]}_{script}"
    if other in languages() and script in scripts_of(other):
        return other
    # A name left in Latin letters, not a text of the language.
    return other if other in _OTHER_SCRIPTS else None


@cache
def _fold(code: str) -> str:
    return code.replace("_", "-").replace("@latin", "-latn").lower()


@cache
def _language(code: str) -> Language | None:
    try:
        return resolve(code)
    except UnknownLanguage:
        return None
