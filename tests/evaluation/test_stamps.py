"""Captions of Tux Paint's stamps, with what is odd in them."""

from __future__ import annotations

from evaluation import stamps

TEXT = """A “Fuji” apple.
ach.utf8=A “Fuji” apple.
ar.utf8=.تفاحة فوجي
ca@valencia.utf8=Una poma Fuji.
de.utf8=Ein  »Fuji«-Apfel.\x07
en_GB.utf8=A ‘Fuji’ apple.
fr.utf8=A “Fuji” apple.
hi.utf8=एक सेब|
ku.utf8=Sêv.
pt.utf8=Uma maçã "Fuji".
pt_BR.utf8=Uma maçã fuji.
sr@latin.utf8=“Fuji” jabuka.
ta.utf8=¬ðŠ
xx.utf8=Something.
zh_CN.utf8=“富士”苹果。
zh_TW.utf8=富士蘋果
no separator
"""


def test_captions_stand_under_the_language_that_they_are_written_in() -> None:
    english, captions = stamps.parsed(TEXT)
    assert english == "A “Fuji” apple."
    assert captions == {
        "arb_Arab": ("تفاحة فوجي.",),
        "deu_Latn": ("Ein »Fuji«-Apfel.",),
        "hin_Deva": ("एक सेब।",),
        "kmr_Latn": ("Sêv.",),
        "por_Latn": ('Uma maçã "Fuji".', "Uma maçã fuji."),
        "zho_Hant": ("富士蘋果",),
    }


def test_a_file_without_text_has_no_captions() -> None:
    assert stamps.parsed("") == ("", {})


def test_control_characters_and_runs_of_blanks_go() -> None:
    assert stamps.tidy("a\tbe\u0301\x00 \n c ") == "a bé c"
