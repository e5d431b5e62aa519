"""A whole report: what stands in it, that it is the same twice, and that nothing in a mix can break it."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipelines.cli import main
from pipelines.filesystem import OutputError
from pipelines.images import REFERENCE, SHARED
from pipelines.refilter import refilter
from pipelines.report import DamagedMix, is_outdated, write_report
from pipelines.report.cards import LONGEST_TEXT
from pipelines.verify import problems
from tests.pipelines.report.small_mix import LID, LONG, TARGETS, picture, rejected, row, some_rows, write_mix
from translation.mix_folder import REPORT
from translation.row import ROW_SCORES

QUIET = Console(file=io.StringIO())


class Page(HTMLParser):
    """The elements of a page: tag, attributes, and all text within."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self._open: list[int] = []
        self.feed(text)
        assert not self._open, f"left open: {[self.elements[index][0] for index in self._open]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))
        if tag not in ("meta", "link", "img", "input", "path"):
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open[-1]][0] == tag, (
            f"</{tag}> where <{self.elements[self._open[-1]][0]}> is"
        )
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for index in self._open:
            self.elements[index][2].append(data)

    def find(self, tag: str, **attributes: str) -> Iterator[tuple[dict[str, str | None], str]]:
        for found, there, text in self.elements:
            if found == tag and all(
                there.get(name.rstrip("_")) == value for name, value in attributes.items()
            ):
                yield there, "".join(text)


def report(mix: Path, **options: Any) -> str:
    return Path(write_report(str(mix), console=QUIET, **options)).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mix(tmp_path_factory.mktemp("report") / "mix")


@pytest.fixture(scope="module")
def text(mix: Path) -> str:
    return report(mix)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def rows_of_table(page: Page, name: str) -> list[str]:
    (table,) = [text for _, text in page.find("table", id=name)]
    return table.splitlines()


def test_totals_languages_and_what_made_it(text: str, page: Page) -> None:
    rows, accepted = len(some_rows()), sum(one["verdict"] == "accept" for one in some_rows())
    (tiles,) = [shown for there, shown in page.find("dl") if there.get("class") == "tiles"]
    assert tiles.split("\n")[1:-1] == [
        f"rows read{rows}",
        f"accepted{accepted}{accepted / rows:.1%}",
        f"rejected{rows - accepted}{1 - accepted / rows:.1%}",
        "left out0as the recipe says",
        "languages7of 7",
        "tasks5",
    ]
    assert "boats" in next(shown for _, shown in page.find("h1"))
    for said in (
        "CC-BY-NC-4.0",
        "CC-BY-4.0",
        "translate-mix:0.1.0|recipe:0123456789abcdef|seed:17",
        "beam 4",
    ):
        assert said in text
    (german,) = [shown for _, shown in page.find("tr") if "deu_Latn" in shown]
    assert "German Deutsch" in german
    assert "10" in german, "accepted"
    assert "5" in german, "rejected"


def test_every_language_stands_in_the_table_also_one_without_rows(tmp_path: Path) -> None:
    page = Page(report(write_mix(tmp_path / "mix", empty=["zul_Latn"])))
    codes = [shown for there, shown in page.find("td") if there.get("class") == "code"]
    assert codes == ["arb_Arab", "mya_Mymr", "eng_Latn", "deu_Latn", "heb_Hebr", "jpn_Jpan", "tha_Thai",
                     "zul_Latn", "und"]  # fmt: skip
    (zulu,) = [shown for there, shown in page.find("details") if there.get("data-code") == "zul_Latn"]
    assert "0 accepted, 0 rejected" in zulu
    assert "No rows." in zulu


def test_languages_of_questions_with_english_answers_have_a_table(mix: Path, tmp_path: Path) -> None:
    prompt = f"{LID} (in the prompt)"
    scores = dict.fromkeys(ROW_SCORES) | {"prompt_words": 3.0, "prompt_lid": 0.1}
    asked = [
        row("eng_Latn", 900, question_language="deu_Latn"),
        rejected("eng_Latn", 901, reason=prompt, question_language="deu_Latn", scores=scores),
        rejected("eng_Latn", 902, reason=prompt, question_language="swh_Latn", scores=scores),
    ]
    page = Page(report(write_mix(tmp_path / "mix", asked)))
    (table,) = [" ".join(shown.split()) for _, shown in page.find("table", id="question-table")]
    assert re.search(r"German50\.0%211lid 1deu_Latn Swahili0\.0%101lid 1swh_Latn", table)
    (lead,) = [shown for there, shown in page.find("p") if there.get("class") == "lead"]
    assert "in 1 language with questions in 1 more, made by" in lead
    assert not [shown for there, shown in page.find("p") if shown == "No row has scores."]
    most = [shown for there, shown in page.find("td") if there.get("class") == "most"]
    assert [" ".join(shown.split()) for shown in most] == ["German 1, Swahili 1"]
    assert not list(Page(report(mix)).find("table", id="question-table"))


def test_mean_scores_are_folded_away_until_they_are_asked_for(page: Page) -> None:
    assert [there["type"] for there, _ in page.find("input", id="with-scores")] == ["checkbox"]
    heads = {shown for there, shown in page.find("th") if there.get("class") == "score"}
    assert "lid" in heads
    assert "kept" not in heads


def test_planned_and_real_shares(page: Page) -> None:
    (german,) = [shown for _, shown in page.find("tr") if "deu_Latn" in shown]
    # 7/8 of what is not English over six languages.
    assert "14.58%" in german
    accepted = sum(one["verdict"] == "accept" for one in some_rows())
    assert f"{10 / accepted:.2%}" in german


def test_rules_are_explained_and_counted(page: Page) -> None:
    (rule,) = [shown for _, shown in page.find("tr") if "finds another language" in shown]
    assert "12" in rule
    assert re.search("Arabic 4, German 4, Thai 4", " ".join(rule.split()))


def test_samples_show_texts_in_their_direction_and_language(page: Page) -> None:
    shown = {
        (there.get("lang"), there.get("dir"), text)
        for there, text in page.find("dd")
        if text in TARGETS.values()
    }
    assert shown == {
        ("ar", "rtl", TARGETS["arb_Arab"]),
        ("he", "rtl", TARGETS["heb_Hebr"]),
        ("de", "ltr", TARGETS["deu_Latn"]),
        ("ja", "ltr", TARGETS["jpn_Jpan"]),
        ("my", "ltr", TARGETS["mya_Mymr"]),
        ("th", "ltr", TARGETS["tha_Thai"]),
        ("en", "ltr", TARGETS["eng_Latn"]),
    }
    turns = [(there.get("dir"), text) for there, text in page.find("dd") if text.startswith("What is it?")]
    assert turns == [("auto", "What is it?\n\nA boat.\n\nما لونه؟")]


def test_accepted_and_rejected_rows_with_scores_and_reason(page: Page) -> None:
    cards = [(there["class"], text) for there, text in page.find("article")]
    arabic = [(kind, text) for kind, text in cards if "/arb_Arab" in text]
    assert sum(kind == "sample yes" for kind, _ in arabic) == 6
    assert sum(kind == "sample no" for kind, _ in arabic) == 4
    (one,) = [text for kind, text in arabic if "boats/050" in text]
    assert "lid: 0.1 for the language against others, at least 0.456 wanted" in one
    assert "lid 0.1" in one
    tasks = [there["data-task"] for there, _ in page.find("article") if there["class"] == "sample yes"]
    assert {"caption", "vqa", "text", "instruct", "statement"} == set(tasks), "each before any twice"


def test_why_a_picture_is_not_shown(page: Page) -> None:
    absent = [text for there, text in page.find("p") if there.get("class") == "absent"]
    assert "picture not in the mix: gone.png" in absent
    assert any("unknown format" in one for one in absent)


def test_records_that_could_not_be_read_show_what_they_are(page: Page) -> None:
    (unread,) = [text for there, text in page.find("details") if there.get("data-code") == "und"]
    assert "(unreadable)" in unread
    assert "{broken" in unread
    assert "captions.json is no JSON" in unread


def test_a_language_that_only_a_later_version_knows_goes_by_its_code(tmp_path: Path) -> None:
    mix = write_mix(tmp_path / "mix", [row("xyz_Latn", 1), rejected("xyz_Latn", 2), row("deu_Latn", 1)])
    write_report(str(mix), console=QUIET, quiet=True)
    page = Page((mix / REPORT).read_text(encoding="utf-8"))
    (samples,) = [text for there, text in page.find("details") if there.get("data-code") == "xyz_Latn"]
    assert "1 accepted, 1 rejected" in samples
    assert ("boats/001" in samples, "boats/002" in samples) == (True, True)


def test_nothing_of_a_mix_becomes_markup(page: Page) -> None:
    assert len([there for there, _ in page.find("script")]) == 1
    assert not [there for there, _ in page.find("img") if there.get("onerror")]
    assert any("<script>window.broken=1</script>" in text for _, text in page.find("dd")), "shown as text"
    (policy,) = [
        there["content"]
        for there, _ in page.find("meta")
        if there.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "script-src 'sha256-" in policy


def test_nothing_is_fetched(page: Page) -> None:
    for tag, there, _ in page.elements:
        for name in ("src", "href"):
            value = there.get(name)
            assert value is None or value.startswith(("data:", "#")), f"<{tag} {name}={value}>"


def test_very_long_texts_are_cut_and_say_so(page: Page, text: str) -> None:
    (shown,) = {
        found
        for there, found in page.find("dd")
        if found.startswith("A very long text.") and there["lang"] == "de"
    }
    assert f"… {len(LONG) - LONGEST_TEXT:,} more characters" in shown
    assert len(shown) < LONGEST_TEXT + 50


def test_the_same_mix_gives_the_same_bytes(mix: Path, text: str, tmp_path: Path) -> None:
    assert report(mix, output=str(tmp_path / "again.html")) == text
    copy = shutil.copytree(mix, tmp_path / "copy")
    assert report(copy, output=str(tmp_path / "copy.html")) == text


def test_number_of_samples(mix: Path, tmp_path: Path) -> None:
    page = Page(report(mix, samples=2, output=str(tmp_path / "two.html")))
    kinds = [there["class"] for there, text in page.find("article") if "/deu_Latn" in text]
    assert kinds == ["sample yes"] * 2 + ["sample no"] * 2


@pytest.mark.parametrize("images", [SHARED, REFERENCE])
def test_pictures_outside_of_the_rows_are_found(tmp_path: Path, images: str) -> None:
    rows = [row("deu_Latn", index, image={"bytes": picture(), "path": f"{index}.png"}) for index in range(5)]
    rows.append(row("deu_Latn", 5, image={"bytes": None, "path": "gone.png"}, image_id="gone"))
    page = Page(report(write_mix(tmp_path / "mix", rows, images=images)))
    assert len(list(page.find("img"))) == 5
    assert (
        len([text for there, text in page.find("p") if there.get("class") == "absent" and "picture" in text])
        == 1
    )


def test_a_mix_without_rejected_rows_and_one_without_accepted_ones(tmp_path: Path) -> None:
    good = report(write_mix(tmp_path / "good", [row("deu_Latn", index) for index in range(3)]))
    assert "No row was rejected." in good
    bad = report(write_mix(tmp_path / "bad", [rejected("deu_Latn", index) for index in range(3)]))
    assert "No row was accepted." in bad


def test_a_mix_without_any_row(tmp_path: Path) -> None:
    text = report(write_mix(tmp_path / "mix", [], empty=["deu_Latn"]))
    assert "No row was accepted." in text
    assert "No row has scores." in text


def test_a_recipe_of_another_version_costs_only_plan_and_bounds(mix: Path, tmp_path: Path) -> None:
    other = shutil.copytree(mix, tmp_path / "mix")
    manifest = json.loads((other / "manifest.json").read_text(encoding="utf-8"))
    manifest["recipe"]["languages"]["of_tomorrow"] = True
    (other / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert "The recipe in the manifest is of another version." in report(other)


def test_no_finished_mix_and_damaged_files_are_errors_that_name_them(mix: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no manifest\.json"):
        report(tmp_path)
    damaged = shutil.copytree(mix, tmp_path / "mix")
    path = damaged / "data" / "deu_Latn" / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DamagedMix, match=r"deu_Latn/train-00000.*verify"):
        report(damaged)
    path.unlink()
    with pytest.raises(DamagedMix, match=r"deu_Latn/train-00000.*verify"):
        report(damaged)


def test_files_that_hold_other_rows_than_the_manifest_says_are_an_error(mix: Path, tmp_path: Path) -> None:
    other = shutil.copytree(mix, tmp_path / "mix")
    data = other / "data"
    shutil.copyfile(
        data / "deu_Latn" / "train-00000-of-00001.parquet", data / "jpn_Jpan" / "train-00000-of-00001.parquet"
    )
    with pytest.raises(DamagedMix, match=r"jpn_Jpan.*holds 10 rows, not 9"):
        report(other)


def test_the_command_prints_where_the_report_is(
    mix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "page.html"
    with pytest.raises(SystemExit) as stop:
        main(["report", str(mix), "--samples", "1", "--output", str(path)])
    assert (stop.value.code, capsys.readouterr().out) == (0, f"{path}\n")
    assert len(list(Page(path.read_text(encoding="utf-8")).find("article"))) == 7 + 5


@pytest.mark.parametrize(
    ("damage", "code", "message"), [("data/deu_Latn", 1, "verify"), ("manifest.json", 2, "no finished mix")]
)
def test_the_command_tells_a_damaged_mix_from_none(
    mix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str, code: int, message: str
) -> None:
    other = shutil.copytree(mix, tmp_path / "mix")
    (other / damage).rename(tmp_path / "elsewhere")
    with pytest.raises(SystemExit) as stop:
        main(["report", str(other)])
    assert stop.value.code == code
    assert message in capsys.readouterr().err


def test_the_command_refilter_says_that_the_report_is_of_before(
    mix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = shutil.copytree(mix, tmp_path / "mix")
    report(other)
    for arguments, told in ((["--dry-run"], False), ([], True)):
        with pytest.raises(SystemExit):
            main(["refilter", str(other), "--quiet", "--set", "filters.lid.min=0.53", *arguments])
        assert (f"translate-mix report {other}" in capsys.readouterr().out) == told


def test_a_report_that_cannot_be_written_is_an_error_that_names_it(mix: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file, and a folder is wanted"):
        report(mix, output=str(tmp_path / "file" / "report.html"))


def test_a_report_says_which_manifest_it_is_of(mix: Path, tmp_path: Path) -> None:
    other = shutil.copytree(mix, tmp_path / "mix", ignore=shutil.ignore_patterns(REPORT))
    assert not is_outdated(str(other)), "there is none"
    report(other)
    assert not is_outdated(str(other))
    manifest = other / "manifest.json"
    manifest.write_text(
        manifest.read_text(encoding="utf-8").replace('"seed": 17', '"seed": 18'), encoding="utf-8"
    )
    assert is_outdated(str(other))
    (other / REPORT).write_text("<p>Somebody's own.</p>", encoding="utf-8")
    assert is_outdated(str(other))


def test_verify_does_not_stumble_over_a_report(mix: Path, text: str) -> None:
    assert (mix / REPORT).read_text(encoding="utf-8") == text
    assert list(problems(str(mix))) == []


def test_a_refilter_leaves_the_report_which_is_outdated_then(mix: Path, tmp_path: Path) -> None:
    other = shutil.copytree(mix, tmp_path / "mix")
    report(other)
    outcome = refilter(str(other), ["filters.lid.min=0.53"], QUIET, quiet=True)
    assert outcome.after.accepted < outcome.before.accepted
    assert is_outdated(str(other))
    assert "0.53 wanted" in report(other)
    assert not is_outdated(str(other))
    assert list(problems(str(other))) == []
