from __future__ import annotations

import io
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.training.conftest import MakeMix, Row, jpeg, row_of, rows_of, write_mix, write_shard
from training.batches import Batch
from training.decoding import LoaderError
from training.epochs import Epoch
from training.examples import Window
from training.loader import Loader, LoaderSettings, MixWeight
from training.loading_report import LoadingReport, summed
from training.mixes import MixError
from training.mixture import Mixture
from training.order import OrderSettings
from training.pictures import PictureSettings, pixels_of
from training.texts import TextSettings

COUNTS = {"eng_Latn": 83, "deu_Latn": 41, "swh_Latn": 22}
SMALL = PictureSettings(height=16, width=16)


def loader_settings(*folders: Path, batch_size: int = 5, lanes: int = 4, **options: Any) -> LoaderSettings:
    order = OrderSettings(batch_size=batch_size, lanes=lanes, window_rows=30)
    mixes = tuple(MixWeight(str(folder)) for folder in folders)
    return LoaderSettings(**({"mixes": mixes, "order": order, "pictures": SMALL} | options))


Seen = tuple[int, tuple[str, ...], float]


def seen(batches: Sequence[Batch] | Loader) -> list[Seen]:
    return [
        (batch.index, batch.ids, batch.pixel_values.double().mean().item() if len(batch.pixel_values) else 0)
        for batch in batches
    ]


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mix(tmp_path_factory.mktemp("mix"), rows_of(COUNTS))


@pytest.fixture(scope="module")
def whole(mix: Path, tokenizer: Any) -> list[list[Seen]]:
    """Three epochs of one rank without workers."""
    with Loader(loader_settings(mix), tokenizer) as loader:
        return [seen(loader) for _ in range(3)]


def test_an_epoch_holds_every_row_once(whole: list[list[Seen]]) -> None:
    wanted = sorted(row["id"] for rows in rows_of(COUNTS).values() for row in rows)
    for epoch in whole:
        assert [index for index, _, _ in epoch] == list(range(len(epoch)))
        assert sorted(row for _, ids, _ in epoch for row in ids) == wanted


def test_epochs_and_seeds_have_orders_of_their_own(
    whole: list[list[Seen]], mix: Path, tokenizer: Any
) -> None:
    assert whole[0] != whole[1] != whole[2] != whole[0]
    with Loader(loader_settings(mix, seed=18), tokenizer) as loader:
        assert seen(loader) != whole[0]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(whole: list[list[Seen]], mix: Path, tokenizer: Any, workers: int) -> None:
    with Loader(loader_settings(mix), tokenizer, workers=workers) as loader:
        assert [seen(loader) for _ in range(3)] == whole


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_ranks_share_the_one_order(whole: list[list[Seen]], mix: Path, tokenizer: Any, ranks: int) -> None:
    parts, reports = [], []
    for rank in range(ranks):
        with Loader(loader_settings(mix), tokenizer, rank=rank, ranks=ranks, workers=rank % 2) as loader:
            parts.append(seen(loader))
            assert len(loader) == loader.batches_in(1) == loader.batches_left
            reports.append(loader.report)
    left_out = summed(reports).batches_left_out
    together = [batch for step in zip(*parts, strict=True) for batch in step]
    assert left_out == len(whole[0]) % ranks
    assert together == whole[0][: len(whole[0]) - left_out]


@pytest.mark.parametrize(("ranks", "together", "step"), [(1, 6, 6), (2, 6, 6), (3, 6, 6), (4, 6, 12)])
def test_an_epoch_has_whole_steps_of_training(
    whole: list[list[Seen]], mix: Path, tokenizer: Any, ranks: int, together: int, step: int
) -> None:
    assert len(whole[0]) % step
    options = loader_settings(mix, together=together)
    parts, reports = [], []
    for rank in range(ranks):
        with Loader(options, tokenizer, rank=rank, ranks=ranks) as loader:
            parts.append(seen(loader))
            reports.append(loader.report)
            assert loader.epoch == 1
    given = [batch for of_ranks in zip(*parts, strict=True) for batch in of_ranks]
    left_out = len(whole[0]) % step
    assert given == whole[0][: len(whole[0]) - left_out]
    assert summed(reports).batches_left_out == left_out


def test_uneven_ranks_leave_nothing_out(whole: list[list[Seen]], mix: Path, tokenizer: Any) -> None:
    ranks = len(whole[0]) + 1
    for number in (7, ranks):
        parts = []
        for rank in range(number):
            with Loader(loader_settings(mix, even=False), tokenizer, rank=rank, ranks=number) as loader:
                parts += seen(loader)
                assert loader.epoch == 1
        assert sorted(parts) == whole[0]


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    stops=st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from([1, 2, 3]), st.sampled_from([0, 0, 0, 1])),
        min_size=1,
        max_size=4,
    )
)
def test_a_run_stopped_anywhere_goes_on_exactly(
    whole: list[list[Seen]], mix: Path, tokenizer: Any, stops: list[tuple[int, int, int]]
) -> None:
    """Each stop comes after some steps, and what goes on has other ranks and workers."""
    everything = [batch for epoch in whole for batch in epoch]
    done: list[Seen] = []
    state = None
    for steps, ranks, workers in stops:
        parts, states = [], []
        for rank in range(ranks):
            with Loader(loader_settings(mix), tokenizer, rank=rank, ranks=ranks, workers=workers) as loader:
                if state:
                    loader.load_state_dict(state)
                steps = min(steps, loader.batches_left)
                # What workers prepared meanwhile must not count.
                parts.append(seen(list(itertools.islice(loader, steps)) if steps else []))
                states.append(loader.state_dict())
        assert len({(one["epoch"], one["position"]) for one in states}) == 1
        state = states[0]
        done += [batch for step in zip(*parts, strict=True) for batch in step]
    assert done == everything[: len(done)]
    with Loader(loader_settings(mix), tokenizer) as loader:
        loader.load_state_dict(state)  # type: ignore[arg-type]
        assert seen(loader) == whole[0][len(done) :] or not whole[0][len(done) :]


def test_a_state_is_read_by_torch_without_pickled_classes(mix: Path, tokenizer: Any) -> None:
    with Loader(loader_settings(mix), tokenizer) as loader:
        next(iter(loader))
        state = loader.state_dict()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    assert torch.load(buffer, weights_only=True) == state


def test_a_state_at_the_end_of_an_epoch_goes_on_with_the_next(
    whole: list[list[Seen]], mix: Path, tokenizer: Any
) -> None:
    with Loader(loader_settings(mix), tokenizer) as loader:
        seen(list(itertools.islice(loader, len(loader))))
        state = loader.state_dict()
    with Loader(loader_settings(mix), tokenizer) as loader:
        loader.load_state_dict(state)
        assert seen(loader) == whole[1]


def test_a_loop_that_is_left_goes_on_in_the_next(whole: list[list[Seen]], mix: Path, tokenizer: Any) -> None:
    with Loader(loader_settings(mix), tokenizer, workers=1) as loader:
        first = seen(list(itertools.islice(loader, 4)))
        assert loader.position == 4
        assert first + seen(loader) == whole[0]


def test_an_evaluation_sees_the_same_again(whole: list[list[Seen]], mix: Path, tokenizer: Any) -> None:
    with Loader(loader_settings(mix), tokenizer) as loader:
        for _ in range(2):
            loader.seek(1)
            assert seen(list(itertools.islice(loader, 3))) == whole[1][:3]


def test_a_shard_that_changed_meanwhile_is_told(make_mix: MakeMix, tokenizer: Any) -> None:
    rows = [row_of(number, "deu_Latn", task="vqa" if number % 2 else "caption") for number in range(10)]
    folder = make_mix({"deu_Latn": rows})
    loader = Loader(loader_settings(folder, mixture=Mixture({"vqa": 2.0})), tokenizer)
    others = [row | {"task": "caption"} for row in rows]
    write_shard(folder / "data/deu_Latn/train-00000-of-00001.parquet", others)
    with loader, pytest.raises(MixError, match=r"train-00000-of-00001\.parquet: "):
        seen(loader)


def test_resuming_reads_only_what_is_open(mix: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Loader(loader_settings(mix), tokenizer) as loader:
        seen(list(itertools.islice(loader, len(loader) - 2)))
        state = loader.state_dict()
    with Loader(loader_settings(mix), tokenizer) as loader:
        loader.load_state_dict(state)
        read, windows = loader._feed._window, []

        def counting(plan: Epoch, epoch: int, number: int) -> Window:
            windows.append(number)
            return read(plan, epoch, number)

        monkeypatch.setattr(loader._feed, "_window", counting)
        seen(loader)
        assert 1 <= len(windows) <= 2


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"seed": 1}, "seed was 17 and is 1"),
        ({"batch_size": 6}, "order was"),
        ({"texts": TextSettings(max_target_tokens=64)}, "texts was"),
        ({"mixture": Mixture(alpha=0.5)}, "mixture was"),
    ],
)
def test_a_state_of_other_settings_is_refused(
    mix: Path, tokenizer: Any, options: dict[str, Any], name: str
) -> None:
    with Loader(loader_settings(mix), tokenizer) as loader:
        state = loader.state_dict()
    other = Loader(loader_settings(mix, **options), tokenizer)
    with other, pytest.raises(LoaderError, match=f"no meaning here: {name}"):
        other.load_state_dict(state)


def test_a_state_of_other_data_is_refused(mix: Path, make_mix: MakeMix, tokenizer: Any) -> None:
    with Loader(loader_settings(mix), tokenizer) as loader:
        state = loader.state_dict()
    other = Loader(loader_settings(make_mix(COUNTS | {"swh_Latn": 21})), tokenizer)
    with other, pytest.raises(LoaderError, match="mixes was"):
        other.load_state_dict(state)


def test_another_loop_ends_the_first(mix: Path, tokenizer: Any) -> None:
    with Loader(loader_settings(mix), tokenizer) as loader:
        first = iter(loader)
        next(first)
        next(iter(loader))
        with pytest.raises(LoaderError, match="another loop"):
            next(first)


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_draws_no_random_numbers(mix: Path, tokenizer: Any, workers: int) -> None:
    before = torch.get_rng_state()
    with Loader(loader_settings(mix), tokenizer, workers=workers) as loader:
        seen(loader)
        next(iter(loader))
    assert torch.equal(torch.get_rng_state(), before)


def test_batches_hold_what_the_rows_say(mix: Path, tokenizer: Any) -> None:
    rows = {row["id"]: row for of_language in rows_of(COUNTS).values() for row in of_language}
    with Loader(loader_settings(mix), tokenizer, workers=1) as loader:
        for batch in loader:
            assert batch.image_counts.tolist() == [1] * len(batch)
            for number, row_id in enumerate(batch.ids):
                row = rows[row_id]
                assert (batch.tasks[number], batch.languages[number]) == ("caption", row["language"])
                picture = pixels_of(row["image"]["bytes"], SMALL).permute(2, 0, 1)
                assert torch.equal(batch.pixel_values[number], picture)
                target = batch.labels[number][batch.labels[number] != -100]
                assert tokenizer.decode(target, skip_special_tokens=True) == row["target"]
        assert loader.report.examples == loader.report.pictures == sum(COUNTS.values())
        assert 0 < loader.report.padding_share < 0.3
        assert 0 < loader.report.wait_share <= 1


def pictures_of(number: int) -> Row:
    """Rows with 0, 1 or 2 pictures."""
    first = {"bytes": jpeg(number), "path": None}
    second = {"bytes": jpeg(number + 1000), "path": None}
    nothing = {"bytes": None, "path": None}  # how `datasets` stores what is null
    kinds: list[Row] = [
        {"image": None, "image_id": None, "task": "text"},
        {"image": nothing, "image_id": None, "second_image": nothing, "task": "text"},
        {"image": first},
        {"image": first, "second_image": second},
    ]
    return row_of(number, "deu_Latn", **kinds[number % 4])


def test_examples_may_have_no_picture_or_two(make_mix: MakeMix, tokenizer: Any) -> None:
    folder = make_mix({"deu_Latn": [pictures_of(number) for number in range(40)]})
    with Loader(loader_settings(folder, batch_size=3), tokenizer, workers=1) as loader:
        for batch in loader:
            assert batch.pixel_values.shape == (int(batch.image_counts.sum()), 3, 16, 16)
            at = 0
            for row_id, count in zip(batch.ids, batch.image_counts.tolist(), strict=True):
                number = int(row_id.split("/")[1])
                assert count == [0, 0, 1, 2][number % 4]
                for offset in range(count):
                    wanted = pixels_of(jpeg(number + 1000 * offset), SMALL).permute(2, 0, 1)
                    assert torch.equal(batch.pixel_values[at], wanted)
                    at += 1
        assert loader.report.pictures == 30


BAD = {
    "broken": {"bytes": jpeg(1)[:300], "path": None},
    "unknown format": {"bytes": b"<html>", "path": None},
    "missing": {"bytes": None, "path": "/nowhere/a.jpg"},
}


@pytest.mark.parametrize("workers", [0, 2])
def test_bad_rows_are_skipped_counted_and_listed(make_mix: MakeMix, tokenizer: Any, workers: int) -> None:
    bad = [
        *(row_of(200 + number, "deu_Latn", image=cell) for number, cell in enumerate(BAD.values())),
        row_of(210, "deu_Latn", second_image={"bytes": b"", "path": None}),
        row_of(211, "deu_Latn", target=None),
        row_of(212, "deu_Latn", target=" \n"),
        row_of(213, "deu_Latn", prompt=None),
        row_of(214, "deu_Latn", target="the dog</s> the cat"),
    ]
    rows = [row_of(number, "deu_Latn") for number in range(60)]
    folder = make_mix({"deu_Latn": rows + bad})
    with Loader(loader_settings(folder, max_skipped=0.5), tokenizer, workers=workers) as loader:
        given = [row for batch in loader for row in batch.ids]
        assert sorted(given) == sorted(row["id"] for row in rows)
        skipped = {"broken": 1, "unknown format": 1, "missing": 2}
        assert loader.report.skipped == skipped | {"no target": 2, "no prompt": 1, "special token": 1}
        listed = {skip.id: (skip.reason, skip.detail) for skip in loader.report.listed}
        assert set(listed) == {row["id"] for row in bad}
        assert listed[bad[2]["id"]] == ("missing", "no file /nowhere/a.jpg")


def test_counts_go_on_after_a_stop(make_mix: MakeMix, tokenizer: Any) -> None:
    rows = [row_of(number, "deu_Latn", target=None if number % 9 == 0 else "a dog") for number in range(60)]
    options = loader_settings(make_mix({"deu_Latn": rows}), max_skipped=0.5)
    with Loader(options, tokenizer) as loader:
        seen(loader)
        uninterrupted = loader.report
    with Loader(options, tokenizer) as loader:
        seen(list(itertools.islice(loader, 5)))
        state = loader.state_dict()
    with Loader(options, tokenizer) as loader:
        loader.load_state_dict(state)
        seen(loader)
        assert loader.report.skipped == uninterrupted.skipped == {"no target": 7}
        assert loader.report.examples == uninterrupted.examples == 53
        assert loader.report.tokens == uninterrupted.tokens


def test_counts_of_ranks_add_up(mix: Path, tokenizer: Any) -> None:
    reports = []
    for rank in range(2):
        with Loader(loader_settings(mix), tokenizer, rank=rank, ranks=2) as loader:
            seen(list(itertools.islice(loader, 4)))
            reports.append(loader.report)
            state = loader.state_dict(summed(reports))
    with Loader(loader_settings(mix), tokenizer) as loader:
        loader.load_state_dict(state)
        assert loader.report.batches == 8
        assert loader.report.examples == reports[0].examples + reports[1].examples
    again = []
    for rank in range(2):
        with Loader(loader_settings(mix), tokenizer, rank=rank, ranks=2) as loader:
            loader.load_state_dict(state)
            again.append(loader.report)
    assert summed(again) == summed(reports)


def test_a_batch_without_a_readable_picture_is_replaced_and_counted(
    make_mix: MakeMix, tokenizer: Any
) -> None:
    broken = {"bytes": b"nothing", "path": None}
    rows = [row_of(number, "deu_Latn", **({"image": broken} if number == 7 else {})) for number in range(24)]
    options = loader_settings(make_mix({"deu_Latn": rows}), batch_size=1, max_skipped=0.5)
    with Loader(options, tokenizer, workers=1) as loader:
        batches = list(loader)
        assert loader.report.batches_repeated == 1
        assert loader.report.skipped == {"unknown format": 1}
    assert [batch.index for batch in batches] == list(range(24))
    assert len({row for batch in batches for row in batch.ids}) == 23


def a_fifth_broken() -> list[Any]:
    broken = {"bytes": b"nothing", "path": None}
    return [
        row_of(number, "deu_Latn", **({"image": broken} if number % 5 == 0 else {})) for number in range(60)
    ]


def test_too_many_bad_rows_stop_the_run(make_mix: MakeMix, tokenizer: Any) -> None:
    told = r"12 of 60 examples cannot be used \(unknown format 12\), more than max_skipped 0\.05"
    loader = Loader(loader_settings(make_mix({"deu_Latn": a_fifth_broken()})), tokenizer)
    with loader, pytest.raises(LoaderError, match=told):
        seen(loader)


def test_the_end_of_an_epoch_is_checked_though_nobody_asks_for_more(
    make_mix: MakeMix, tokenizer: Any
) -> None:
    loader = Loader(loader_settings(make_mix({"deu_Latn": a_fifth_broken()})), tokenizer)
    with loader, pytest.raises(LoaderError, match="more than max_skipped"):
        list(itertools.islice(loader, len(loader)))


def test_what_other_stages_read_hides_no_bad_rows(make_mix: MakeMix, tokenizer: Any) -> None:
    loader = Loader(loader_settings(make_mix({"deu_Latn": a_fifth_broken()})), tokenizer)
    loader.report = LoadingReport(examples=20_000)
    with loader, pytest.raises(LoaderError, match="more than max_skipped"):
        seen(loader)


def test_nothing_readable_stops_the_run_at_once(make_mix: MakeMix, tokenizer: Any) -> None:
    rows = [row_of(number, "deu_Latn", image={"bytes": None, "path": "gone.jpg"}) for number in range(60)]
    loader = Loader(loader_settings(make_mix({"deu_Latn": rows})), tokenizer, workers=1)
    told = r"nothing in \d+ batches can be read: tiny/\d+/caption/deu_Latn: missing"
    with loader, pytest.raises(LoaderError, match=told):
        next(iter(loader))


def means(loader: Loader) -> dict[str, float]:
    """Row -> mean of its one picture."""
    return {
        row: pixels.float().mean().item()
        for batch in loader
        for row, pixels in zip(batch.ids, batch.pixel_values, strict=True)
    }


def test_referenced_pictures_are_read(make_mix: MakeMix, tokenizer: Any, tmp_path: Path) -> None:
    rows = []
    for number in range(20):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
        cell = {"bytes": None, "path": str(tmp_path / f"{number}.jpg")}
        rows.append(row_of(number, "deu_Latn", image=cell))
    embedded = make_mix({"deu_Latn": [row_of(number, "deu_Latn") for number in range(20)]})
    with Loader(loader_settings(make_mix({"deu_Latn": rows})), tokenizer, workers=1) as loader:
        found = means(loader)
    with Loader(loader_settings(embedded), tokenizer) as loader:
        wanted = means(loader)
    assert found == wanted


def test_mixes_and_tasks_are_weighed(make_mix: MakeMix, tokenizer: Any) -> None:
    rows = [row_of(number, "deu_Latn", task="vqa" if number % 2 else "caption") for number in range(60)]
    other = [row_of(number, "swh_Latn", dataset="other") for number in range(100, 140)]
    one, two = make_mix({"deu_Latn": rows}), make_mix({"swh_Latn": other})
    options = loader_settings(
        mixes=(MixWeight(str(one)), MixWeight(str(two), times=0.5)), mixture=Mixture({"vqa": 2.0})
    )
    with Loader(options, tokenizer) as loader:
        epochs = [[row for batch in loader for row in batch.ids] for _ in range(2)]
    for ids in epochs:
        assert sum(row.split("/")[1] in {str(n) for n in range(1, 60, 2)} for row in ids) == 60
        assert sum(row.split("/")[1] in {str(n) for n in range(0, 60, 2)} for row in ids) == 30
        assert abs(sum(row.endswith("swh_Latn") for row in ids) - 20) <= 4
    # Half of the rows in one epoch, the others in the next.
    swahili = [row for ids in epochs for row in ids if row.endswith("swh_Latn")]
    assert len(set(swahili)) >= 36


def test_decoder_only_models_get_joined_batches(mix: Path, chat_tokenizer: Any) -> None:
    options = loader_settings(mix, texts=TextSettings(decoder_only=True), pad_to_multiple=8)
    with Loader(options, chat_tokenizer, workers=1) as loader:
        batch = next(iter(loader))
    assert batch.joined
    assert batch.image_position == 3
    assert batch.input_ids.shape == batch.labels.shape
    assert batch.input_ids.shape[1] % 8 == 0


def test_cut_texts_are_counted(mix: Path, tokenizer: Any) -> None:
    options = loader_settings(mix, texts=TextSettings(max_target_tokens=4))
    with Loader(options, tokenizer) as loader:
        batches = list(loader)
        assert max(batch.labels.shape[1] for batch in batches) == 4
        targets = [row["target"].split() for rows in rows_of(COUNTS).values() for row in rows]
        assert loader.report.targets_cut == sum(len(words) > 3 for words in targets)
        assert loader.report.prompts_cut == 0


def test_a_mix_too_small_for_the_ranks_is_told(make_mix: MakeMix, tokenizer: Any) -> None:
    loader = Loader(loader_settings(make_mix({"deu_Latn": 3})), tokenizer, rank=1, ranks=2)
    with loader, pytest.raises(LoaderError, match=r"an epoch has 1 batches of .* examples, fewer than the 2"):
        next(iter(loader))
    loader = Loader(loader_settings(make_mix({"deu_Latn": 12}), together=6), tokenizer, ranks=2)
    with (
        loader,
        pytest.raises(LoaderError, match=r"an epoch has 3 batches of .* fewer than the 6 of one step"),
    ):
        next(iter(loader))


def test_a_closed_loader_says_so(mix: Path, tokenizer: Any) -> None:
    loader = Loader(loader_settings(mix), tokenizer)
    loader.close()
    with pytest.raises(LoaderError, match="closed"):
        next(iter(loader))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"rank": 2, "ranks": 2}, "rank 2 of 2"),
        ({"workers": -1}, "-1 workers"),
        ({"ahead": 0}, "with 0 batches"),
    ],
)
def test_senseless_numbers_are_refused(mix: Path, tokenizer: Any, options: dict[str, int], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Loader(loader_settings(mix), tokenizer, **options)  # type: ignore[arg-type]


def test_rows_that_are_left_out_come_in_no_epoch_and_the_others_once(
    make_mix: MakeMix, tokenizer: Any
) -> None:
    folder = make_mix({"deu_Latn": 41, "swh_Latn": 22})
    options = loader_settings(folder, without=pa.array(["0", "5", "50"]))
    with Loader(options, tokenizer) as loader:
        epochs = [seen(loader) for _ in range(2)]
        state = loader.state_dict()
        assert loader.rows_left_out == 3
        assert not loader.report.skipped
    wanted = sorted(
        row["id"]
        for rows in rows_of({"deu_Latn": 41, "swh_Latn": 22}).values()
        for row in rows
        if row["image_id"] not in ("0", "5", "50")
    )
    for epoch in epochs:
        assert sorted(row for _, ids, _ in epoch for row in ids) == wanted
    with Loader(loader_settings(folder), tokenizer) as loader, pytest.raises(LoaderError, match="mixes was"):
        loader.load_state_dict(state)
