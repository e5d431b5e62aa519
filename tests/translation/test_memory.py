"""The translation memory: real segments on a real disk, and the real small model behind it."""

from __future__ import annotations

import errno
import multiprocessing
import os
import resource
import signal
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Synced
from translation.engine import Engine
from translation.memory import (
    GIVEN,
    MARKER,
    Memory,
    Origin,
    RememberingEngine,
    begin,
    finish,
    with_shortlists,
)
from translation.memory_compaction import compact
from translation.memory_segments import ROW_GROUP_ROWS, MemoryFolderError, SegmentFolder, rows, table_of
from translation.model import model_directory
from translation.translations import Decoding, Request, Translation

ORIGIN = Origin("engine-1", "0123456789abcdef", '{"beam_size": 1}')
CALL, OTHER_CALL = b"c" * 16, b"o" * 16


def requests(texts: Sequence[str], target: str = "deu_Latn") -> list[Request]:
    return [Request(text, "eng_Latn", target) for text in texts]


def translations(texts: Sequence[str], score: float = -0.25) -> list[Translation]:
    return [
        Translation(text.upper(), score, cut_off=not number % 2, unknown=not number % 3, empty=False)
        for number, text in enumerate(texts)
    ]


def remember(
    folder: Path, texts: Sequence[str], call: bytes = CALL, origin: Origin = ORIGIN, score: float = -0.25
) -> None:
    with Memory(str(folder)) as memory:
        memory.add(origin, call, requests(texts), translations(texts, score), whole=False)


def recall(folder: Path, texts: Sequence[str], call: bytes = CALL) -> list[Translation | None]:
    with Memory(str(folder)) as memory:
        return memory.find(ORIGIN.keys(requests(texts), whole=False), call)


def segment_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.parquet"))


def test_what_was_added_is_found_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    texts = ["a cat", "a dog", "two\nlines\t", "", "猫 🐈‍⬛ नमस्ते \u0000 \ufeff"]
    remember(tmp_path, texts)
    assert recall(tmp_path, [*texts, "a cow"]) == [*translations(texts), None]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(), unique=True, min_size=1), st.floats(allow_nan=False))
def test_any_text_and_score_come_back_as_they_were(texts: list[str], score: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        remember(Path(folder), texts, score=score)
        assert recall(Path(folder), texts) == translations(texts, score)


def test_half_a_surrogate_pair_is_left_out(tmp_path: Path) -> None:
    remember(tmp_path, ["a cat", "\ud83d"])
    assert recall(tmp_path, ["a cat", "\ud83d"]) == [translations(["a cat"])[0], None]


def test_a_translation_with_half_a_surrogate_pair_is_left_out(tmp_path: Path) -> None:
    broken, whole = translations(["a cat", "a dog"])
    broken = replace(broken, text="\ud83d")
    with Memory(str(tmp_path)) as memory:
        memory.add(ORIGIN, CALL, requests(["a cat", "a dog"]), [broken, whole], whole=False)
    assert recall(tmp_path, ["a cat", "a dog"]) == [None, whole]


@pytest.mark.parametrize(
    "other",
    [
        Origin("engine-2", ORIGIN.model, ORIGIN.decoding),
        Origin(ORIGIN.engine, "fedcba9876543210", ORIGIN.decoding),
        Origin(ORIGIN.engine, ORIGIN.model, '{"beam_size": 4}'),
    ],
)
def test_another_engine_model_or_decoding_has_its_own_translations(tmp_path: Path, other: Origin) -> None:
    remember(tmp_path, ["a cat"], origin=other)
    assert recall(tmp_path, ["a cat"]) == [None]


def test_languages_and_whole_texts_are_told_apart() -> None:
    keys = {
        *ORIGIN.keys(requests(["a cat"]), whole=False),
        *ORIGIN.keys(requests(["a cat"]), whole=True),
        *ORIGIN.keys(requests(["a cat"], "fra_Latn"), whole=False),
        *ORIGIN.keys([Request("a cat", "deu_Latn", "eng_Latn")], whole=False),
    }
    assert len(keys) == 4
    assert all(len(key) == 16 for key in keys)


def test_rows_are_found_in_every_row_group(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(1300)]
    remember(tmp_path, texts)
    assert pq.ParquetFile(segment_files(tmp_path)[0]).metadata.num_row_groups == 3
    assert recall(tmp_path, texts[::-1]) == translations(texts)[::-1]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[pa.Table]:
    """The row groups that are read, in order."""
    read: list[pa.Table] = []
    read_row_group = pq.ParquetFile.read_row_group

    def noted(file: pq.ParquetFile, *arguments: Any, **named: Any) -> pa.Table:
        read.append(read_row_group(file, *arguments, **named))
        return read[-1]

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", noted)
    return read


def test_as_many_row_groups_are_kept_as_the_cache_has_bytes_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[pa.Table]
) -> None:
    # All of one size.
    texts = [f"text {number:05}" for number in range(8 * ROW_GROUP_ROWS)]
    remember(tmp_path, texts)
    with Memory(str(tmp_path)) as memory:

        def reads_for(*groups: int) -> int:
            before = len(reads)
            for group in groups:
                text = texts[group * ROW_GROUP_ROWS]
                assert None not in memory.find(ORIGIN.keys(requests([text]), whole=False), CALL)
            return len(reads) - before

        assert reads_for(0) == 1
        monkeypatch.setattr("translation.memory.CACHE_BYTES", 3 * reads[0].nbytes)
        assert reads_for(0, 1, 2) == 2
        assert reads_for(0, 1, 2) == 0
        assert reads_for(*range(3, 8)) == 5
        assert reads_for(6, 7, 5) == 0
        # What was asked for longest ago goes first.
        assert reads_for(0) == 1
        assert reads_for(5, 7) == 0
        assert reads_for(6) == 1


def test_the_files_that_were_asked_for_last_stay_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("translation.memory.OPEN_FILES", 2)
    texts = ["a cat", "a dog", "a cow"]
    for text in texts:
        remember(tmp_path, [text])
    opened = []
    read = SegmentFolder.read

    def noted(self: SegmentFolder, name: str) -> pa.Buffer:
        opened.append(name)
        return read(self, name)

    with Memory(str(tmp_path)) as memory:
        monkeypatch.setattr(SegmentFolder, "read", noted)

        def opens(number: int) -> bool:
            opened.clear()
            assert None not in memory.find(ORIGIN.keys(requests([texts[number]]), whole=False), CALL)
            return bool(opened)

        assert [opens(number) for number in (0, 1, 0, 1)] == [True, True, False, False]
        assert [opens(number) for number in (0, 2, 0, 1)] == [False, True, False, True]


class WithMeeting(Memory):
    """Two threads that read at once meet."""

    met = False

    def _read(self, segment: int, numbers: Sequence[int]) -> list[tuple[Any, ...]]:
        try:
            self.barrier.wait(timeout=0.3)
            self.met = True
        except threading.BrokenBarrierError:
            pass
        return super()._read(segment, numbers)


def test_threads_read_one_after_another(tmp_path: Path) -> None:
    remember(tmp_path, ["a cat"])
    keys = ORIGIN.keys(requests(["a cat"]), whole=False)
    with WithMeeting(str(tmp_path)) as memory, ThreadPoolExecutor(2) as pool:
        memory.barrier = threading.Barrier(2)
        found = [pool.submit(memory.find, keys, CALL) for _ in range(2)]
        assert [one.result() for one in found] == [translations(["a cat"])] * 2
        assert not memory.met


def test_a_segment_is_on_disk_before_it_has_its_name_and_the_name_before_it_is_told(
    tmp_path: Path, synced: list[Synced]
) -> None:
    written = SegmentFolder(str(tmp_path)).write_encoded(pa.py_buffer(b"content"), 1)
    (file, size), (folder, names) = synced
    assert file.name.startswith(f".{written.name}.")
    assert size == 7
    assert (folder, names) == (tmp_path, (written.name,))


# --- Runs -----------------------------------------------------------------------------------------


def test_a_run_takes_of_its_earlier_tries_whole_calls_alone(tmp_path: Path) -> None:
    assert begin(str(tmp_path), "first").number == 1
    remember(tmp_path, ["a cat"])
    finish(str(tmp_path))
    assert begin(str(tmp_path), "second").number == 2
    remember(tmp_path, ["a dog"])
    # Killed; the same run goes on.
    assert begin(str(tmp_path), "second").number == 2
    assert recall(tmp_path, ["a cat", "a dog"], OTHER_CALL) == [translations(["a cat"])[0], None]
    assert recall(tmp_path, ["a cat", "a dog"]) == [*translations(["a cat"]), *translations(["a dog"])]
    # Another recipe.
    assert begin(str(tmp_path), "third").number == 3
    assert None not in recall(tmp_path, ["a cat", "a dog"], OTHER_CALL)


def test_what_the_first_try_of_a_run_settled_holds_for_the_next(tmp_path: Path) -> None:
    def begun(run: str, measured: str) -> str:
        return begin(str(tmp_path), run, lambda: measured).settled

    assert begun("run", "2x1x4096") == "2x1x4096"
    assert begun("run", "1x2x8192") == "2x1x4096"
    assert begun("another", "1x2x8192") == "1x2x8192"
    finish(str(tmp_path))
    assert begun("another", "2x1x4096") == "2x1x4096"


def test_of_several_the_same_call_wins_and_then_the_first(tmp_path: Path) -> None:
    for run, (call, score) in enumerate([(CALL, -1.0), (OTHER_CALL, -2.0), (b"t" * 16, -3.0)]):
        begin(str(tmp_path), str(run))
        remember(tmp_path, ["a cat"], call, score=score)
        finish(str(tmp_path))
    scores = {
        call: found.score
        for call in (CALL, OTHER_CALL, b"n" * 16)
        if (found := recall(tmp_path, ["a cat"], call)[0])
    }
    assert scores == {CALL: -1.0, OTHER_CALL: -2.0, b"n" * 16: -1.0}


def test_leftovers_of_killed_runs_go_and_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / ".000001-x.parquet.abc.partial").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / MARKER).write_bytes(b"{half")
    assert begin(str(tmp_path), "run").number == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", MARKER]


# --- Damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "footer"])
def test_a_damaged_segment_is_set_aside_and_the_others_serve(tmp_path: Path, damage: str) -> None:
    remember(tmp_path, ["a cat"])
    (victim,) = segment_files(tmp_path)
    remember(tmp_path, ["a dog"])
    data = victim.read_bytes()
    middle = len(data) // 2
    victim.write_bytes(
        {
            "cut": data[:middle],
            "flipped": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            "empty": b"",
            "footer": data[:-1] + b"x",
        }[damage]
    )
    with Memory(str(tmp_path)) as memory:
        assert memory.damaged == [victim.name]
    assert not victim.exists()
    assert victim.with_name(victim.name + ".damaged").exists()
    assert recall(tmp_path, ["a cat", "a dog"]) == [None, *translations(["a dog"])]
    remember(tmp_path, ["a cat"])
    assert None not in recall(tmp_path, ["a cat", "a dog"])


def test_of_a_large_damaged_segment_the_rest_is_saved(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(5000)]
    remember(tmp_path, texts)
    (victim,) = segment_files(tmp_path)
    data = bytearray(victim.read_bytes())
    data[len(data) // 3] ^= 4
    victim.write_bytes(data)
    with Memory(str(tmp_path)) as memory:
        assert memory.damaged == [victim.name]
        assert len(memory) == 5000 - 512
    found = recall(tmp_path, texts)
    assert [one for one in found if one] == [
        made for one, made in zip(found, translations(texts), strict=True) if one
    ]
    assert found.count(None) == 512
    assert compact(str(tmp_path)).damaged == 1
    assert len(segment_files(tmp_path)) == 1


def test_a_full_disk_stops_with_one_clear_error_and_leaves_no_file(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(MemoryFolderError, match=r"cannot write .*\.parquet: File too large"):
            remember(tmp_path, [f"text {number}" for number in range(2000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "memory").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(MemoryFolderError, match="memory"):
        begin(str(tmp_path / "memory"), "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MemoryFolderError, match=os.strerror(errno.EACCES)):
        remember(tmp_path, ["a cat"])


def test_an_unknown_scheme_is_an_error() -> None:
    with pytest.raises(MemoryFolderError, match="nowhere://x"):
        Memory("nowhere://x")


# --- Several writers ------------------------------------------------------------------------------


def _write_some(folder: str, worker: int) -> None:
    with Memory(folder) as memory:
        for number in range(20):
            # Every second call is one that the other worker makes too, as a repeated bundle does.
            own = f"of {worker}" if number % 2 else "of both"
            texts = [f"text {number} {index} {own}" for index in range(30)]
            memory.add(ORIGIN, CALL, requests(texts), translations(texts), whole=False)


def test_two_writers_never_clash(tmp_path: Path) -> None:
    begin(str(tmp_path), "run")
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_some, args=(str(tmp_path), number)) for number in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(segment_files(tmp_path)) == 30
    texts = [f"text 3 7 of {worker}" for worker in (1, 2)] + ["text 4 7 of both"]
    found = recall(tmp_path, texts)
    assert [one.text for one in found if one] == [text.upper() for text in texts]


# --- Compaction -----------------------------------------------------------------------------------


def _filled(folder: Path) -> Iterator[tuple[bytes, list[str]]]:
    """Calls that share some texts, with the same and with other scores, over three runs."""
    for run in range(3):
        begin(str(folder), str(run))
        for number in range(4):
            call = bytes([run, number]) * 8
            texts = [f"text {index}" for index in range(200 * number, 200 * number + 250)]
            remember(folder, texts, call, score=-1.0 if number < 2 else -float(run + 1))
            yield call, texts
        finish(str(folder))


def test_compaction_changes_nothing_that_is_found(tmp_path: Path) -> None:
    calls = list(_filled(tmp_path))
    everything = [f"text {index}" for index in range(900)]
    lookups = [*calls, (b"n" * 16, everything)]
    before = [recall(tmp_path, texts, call) for call, texts in lookups]
    (tmp_path / ("000001-000000-" + "0" * 32 + ".parquet.damaged")).write_bytes(b"")
    done = compact(str(tmp_path), segment_bytes=20_000)
    assert (done.before, done.damaged, done.kept_apart) == (12, 1, 0)
    assert 1 < done.after < 12
    # Those with the same score of the second and third run, and what two calls of a run share.
    assert done.dropped > 500
    assert [recall(tmp_path, texts, call) for call, texts in lookups] == before
    again = compact(str(tmp_path))
    assert (again.before, again.after, again.dropped) == (done.after, 1, 0)
    assert [recall(tmp_path, texts, call) for call, texts in lookups] == before
    assert compact(str(tmp_path)).after == 1
    assert [path.name[-8:] for path in tmp_path.iterdir()] == [".parquet"]


def _interrupt(monkeypatch: pytest.MonkeyPatch, folder: Path, moment: int, segment_bytes: int) -> None:
    """Begins a compaction that is interrupted after it has removed so many files."""
    removed = 0
    remove = SegmentFolder.remove

    def interrupted(self: SegmentFolder, names: Iterator[str]) -> None:
        nonlocal removed
        for name in names:
            if removed == moment:
                raise KeyboardInterrupt
            removed += 1
            remove(self, [name])

    with monkeypatch.context() as patched:
        patched.setattr(SegmentFolder, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compact(str(folder), segment_bytes)


@pytest.mark.parametrize("segment_bytes", [20_000, 10**6])
@pytest.mark.parametrize("moment", [0, 1, 5])
def test_compaction_that_was_interrupted_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int, segment_bytes: int
) -> None:
    calls = list(_filled(tmp_path))
    before = [recall(tmp_path, texts, call) for call, texts in calls]
    _interrupt(monkeypatch, tmp_path, moment, segment_bytes)
    assert [recall(tmp_path, texts, call) for call, texts in calls] == before
    compact(str(tmp_path), segment_bytes)
    assert [recall(tmp_path, texts, call) for call, texts in calls] == before
    assert compact(str(tmp_path)).after == 1
    assert [recall(tmp_path, texts, call) for call, texts in calls] == before


def test_what_killed_workers_were_writing_goes_with_the_run(tmp_path: Path) -> None:
    begin(str(tmp_path), "a run", lambda: "")
    (tmp_path / ".000001-000000-ab.parquet.cd.partial").write_bytes(b"half")
    finish(str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_compaction_leaves_an_unfinished_run_alone(tmp_path: Path) -> None:
    list(_filled(tmp_path))
    begin(str(tmp_path), "unfinished")
    remember(tmp_path, ["a cat"])
    done = compact(str(tmp_path))
    assert (done.after, done.kept_apart) == (2, 1)
    assert recall(tmp_path, ["a cat"], OTHER_CALL) == [None]
    assert recall(tmp_path, ["a cat"]) == translations(["a cat"])


# --- Imported translations ------------------------------------------------------------------------


def give(folder: Path, text: str, translation: str, generation: int) -> None:
    entry = ("eng_Latn", "deu_Latn", text, translation, 0.0, False, False, False)
    keys = GIVEN.keys(requests([text]), whole=False)
    origin = (GIVEN.engine, GIVEN.model, GIVEN.decoding)
    SegmentFolder(str(folder)).write(
        [table_of(keys, bytes(16), origin, False, [entry])], generation, given=True
    )


def given_text(folder: Path, text: str) -> str | None:
    with Memory(str(folder)) as memory:
        found = memory.find(GIVEN.keys(requests([text]), whole=False), CALL)[0]
    return found.text if found else None


def test_of_imported_translations_the_last_counts_and_has_its_digest(tmp_path: Path) -> None:
    digests = []
    for generation, translation in enumerate(["Kater", "Katze"], start=1):
        give(tmp_path, "a cat", translation, generation)
        assert given_text(tmp_path, "a cat") == translation
        with Memory(str(tmp_path), given_only=True) as memory:
            digests.append(memory.given_digest())
    assert len(set(digests)) == 2
    assert compact(str(tmp_path)).dropped == 1
    assert given_text(tmp_path, "a cat") == "Katze"
    with Memory(str(tmp_path)) as memory:
        assert memory.given_digest() == digests[1]


def test_the_entry_that_is_found_is_the_last_import_or_the_first_of_an_engine(tmp_path: Path) -> None:
    for generation, translation in enumerate(["Kater", "Katze", "Mieze"], start=1):
        give(tmp_path, "a cat", translation, generation)
        begin(str(tmp_path), translation)
        remember(tmp_path, ["a cat", "a dog"], bytes([generation]) * 16, score=-float(generation))
        finish(str(tmp_path))
    with Memory(str(tmp_path)) as memory:
        entries = [
            entry
            for segment in memory.segments
            for entry in rows(SegmentFolder(str(tmp_path)).read(segment.name)).to_pylist()
        ]
        winners = [entry for entry, wins in zip(entries, memory.winners(), strict=True) if wins]
    assert len(entries) == 9
    assert {(one["engine"], one["translation"], one["score"]) for one in winners} == {
        (GIVEN.engine, "Mieze", 0.0),
        (ORIGIN.engine, "A CAT", -1.0),
        (ORIGIN.engine, "A DOG", -1.0),
    }
    assert len(winners) == 3


@pytest.mark.parametrize("moment", range(5))
def test_the_last_import_counts_after_an_interrupted_compaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    texts = {"a cat": ["Kater", "Katze"], "a dog": ["Dogge", "Welpe", "Hund"], "a bird": ["Vogel"]}
    for position in range(3):
        for text, imported in texts.items():
            if position < len(imported):
                give(tmp_path, text, imported[position], generation=1 + position)
    size = max(path.stat().st_size for path in tmp_path.iterdir())
    _interrupt(monkeypatch, tmp_path, moment, segment_bytes=3 * size)
    for segment_bytes in (3 * size, 10**6):
        for text, imported in texts.items():
            assert given_text(tmp_path, text) == imported[-1]
        compact(str(tmp_path), segment_bytes)
    assert [given_text(tmp_path, text) for text in texts] == ["Katze", "Hund", "Vogel"]


# --- The engine -----------------------------------------------------------------------------------


class CountingEngine(Engine):
    """The real engine, which notes what it was asked."""

    calls: list[list[Request]]

    def translate(
        self, requests: Sequence[Request], *, whole: bool = False, full: bool = False
    ) -> list[Translation]:
        self.calls = [*getattr(self, "calls", []), list(requests)]
        return super().translate(requests, whole=whole, full=full)


@pytest.fixture(scope="module")
def engine() -> Iterator[CountingEngine]:
    with CountingEngine(model_directory("small"), Decoding(beam_size=1)) as engine:
        yield engine  # type: ignore[misc]


NAMES = ["apple", "a red car", "dog", "house", "dog"]


def test_the_engine_is_asked_once_and_only_for_what_is_new(tmp_path: Path, engine: CountingEngine) -> None:
    engine.calls = []
    plain = Engine.translate(engine, requests(NAMES))

    def translate(texts: Sequence[str], whole: bool = False) -> Any:
        return RememberingEngine(engine, Memory(str(tmp_path)), ORIGIN).recall(requests(texts), whole=whole)

    first = translate(NAMES)
    assert (first.translations, first.known) == (plain, 0)
    assert engine.calls == [requests(list(dict.fromkeys(NAMES)))]
    again = translate(NAMES)
    assert (again.translations, again.known) == (plain, 5)
    more = translate(["tree", *NAMES])
    assert (more.translations[1:], more.known) == (plain, 5)
    assert engine.calls[1:] == [requests(["tree"])]
    # Taken as one sentence each, they are other work.
    assert translate(NAMES, whole=True).known == 0
    assert len(engine.calls) == 3
    assert translate([]).translations == []


def test_the_same_texts_in_another_order_are_the_same_call(tmp_path: Path, engine: CountingEngine) -> None:
    found = []
    for texts in (NAMES, NAMES[::-1]):
        # Killed at first; the same run goes on.
        begin(str(tmp_path), "run")
        with Memory(str(tmp_path)) as memory:
            found.append(RememberingEngine(engine, memory, ORIGIN).recall(requests(texts)))
    assert found[1].translations == found[0].translations[::-1]
    assert [one.known for one in found] == [0, 5]


def test_the_whole_vocabulary_and_shortlists_are_remembered_apart(
    tmp_path: Path, engine: CountingEngine
) -> None:
    assert engine.shortlist_digest

    def translate(full: bool) -> int:
        return (
            RememberingEngine(engine, Memory(str(tmp_path)), ORIGIN).recall(requests(NAMES), full=full).known
        )

    assert translate(full=False) == 0
    assert translate(full=True) == 0
    assert translate(full=False) == translate(full=True) == 5
    origins = {
        one
        for segment in segment_files(tmp_path)
        for one in pq.read_table(segment, columns=["engine"]).column(0).to_pylist()
    }
    assert origins == {ORIGIN.engine, with_shortlists(ORIGIN, engine.shortlist_digest).engine}


def test_what_was_translated_before_there_were_shortlists_is_not_translated_again(
    tmp_path: Path, engine: CountingEngine
) -> None:
    with Engine(model_directory("small"), Decoding(beam_size=1), shortlist=False) as plain:
        before = RememberingEngine(plain, Memory(str(tmp_path)), ORIGIN).translate(requests(NAMES))
    engine.calls = []
    found = RememberingEngine(engine, Memory(str(tmp_path)), ORIGIN).recall(requests(NAMES))
    assert (found.translations, found.known, engine.calls) == (before, 5, [])


def test_imported_translations_come_before_the_engines(tmp_path: Path, engine: CountingEngine) -> None:
    give(tmp_path, "dog", "Hündchen", 1)
    engine.calls = []
    remembering = RememberingEngine(engine, Memory(str(tmp_path)), ORIGIN)
    found = remembering.recall(requests(["dog", "house"]))
    assert found.translations[0] == Translation("Hündchen", 0.0, cut_off=False, unknown=False, empty=False)
    assert found.known == 1
    assert engine.calls == [requests(["house"])]
    # Inside a question it is the model's to translate.
    assert remembering.recall(requests(["dog"]), whole=True).translations[0].text != "Hündchen"


def test_a_remote_folder_serves_like_a_local_one() -> None:
    fsspec = pytest.importorskip("fsspec")
    folder = "memory://bucket/mix/memory"
    store = fsspec.filesystem("memory")
    try:
        assert begin(folder, "run").number == 1
        with Memory(folder) as memory:
            memory.add(ORIGIN, CALL, requests(["a cat"]), translations(["a cat"]), whole=False)
        with Memory(folder) as memory:
            keys = ORIGIN.keys(requests(["a cat", "a dog"]), whole=False)
            assert memory.find(keys, CALL) == [*translations(["a cat"]), None]
        (name,) = SegmentFolder(folder).segments()
        store.pipe(f"/bucket/mix/memory/{name.name}", b"damaged")
        with Memory(folder) as memory:
            assert memory.damaged == [name.name]
        finish(folder)
        assert SegmentFolder(folder).names() == [name.name + ".damaged"]
        assert compact(folder).damaged == 1
        assert SegmentFolder(folder).names() == []
    finally:
        store.rm("/bucket", recursive=True)
