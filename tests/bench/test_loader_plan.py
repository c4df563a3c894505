"""What a loader study measures next, told from rows as measurements leave them."""

import pandas as pd
import pytest

from bench.kinds.loaders.phases import AROUND, GRID
from bench.kinds.loaders.plan import around, grid, pending, reached_interval, relative_half_width
from bench.measure.loader.configuration import configuration
from tests.bench.test_loader_settings import spec

WIDE = {"min_repeats": 2, "repeats": 4}


def row(planned, images_per_s=100.0, status="complete"):
    settings = planned.configuration.model_dump()
    place = {"id": planned.id, "phase": planned.phase, "block": planned.block, "arm": planned.arm}
    measured = {"data_wait_share": 0.0, "peak_memory_bytes": 1e8, "device": "cpu", "effective_pin_memory": False}
    measured |= {"noise_spread": 0.02}
    speed = images_per_s if status == "complete" else None
    return {**place, **settings, **measured, "status": status, "error": "", "images_per_s": speed}


def run(study, speed, *, pinning=False, status=lambda _: "complete", most=1000):
    """Measure until nothing is left; returns the rows."""
    rows = pd.DataFrame()
    while len(rows) < most and (left := pending(study, rows, pinning=pinning)):
        first = left[0]
        rows = pd.concat([rows, pd.DataFrame([row(first, speed(first), status(first))])], ignore_index=True)
    return rows


def steady(planned):
    return 100.0 + 10 * planned.configuration.num_workers + 0.1 * planned.block


def noisy(planned):
    return 100.0 * (1 + planned.block % 2)


def test_the_grid_is_every_combination_and_without_an_accelerator_nothing_is_pinned():
    study = spec(num_workers=(0, 1, 2), batch_size=(4, 8), pin_memory=(True, False))
    assert len(grid(study, pinning=True)) == 12
    found = grid(study, pinning=False)
    assert len(found) == 6
    assert not any(each.pin_memory for each in found)


def test_a_block_has_two_arms_of_each_configuration_and_the_step_once_a_batch_size():
    study = spec(num_workers=(0, 1, 2), batch_size=(4, 8))
    first = pending(study, pd.DataFrame(), pinning=False)
    assert sorted(each.arm for each in first) == ["compute"] * 2 + ["end_to_end"] * 6 + ["loader"] * 6
    assert len({each.id for each in first}) == len(first)


def test_without_a_step_there_is_one_arm():
    study = spec(dataset="own:Data")
    assert {each.arm for each in pending(study, pd.DataFrame(), pinning=False)} == {"end_to_end"}


def test_the_order_is_random_by_block_and_the_same_in_every_process():
    study = spec(num_workers=(0, 1, 2, 4), batch_size=(4, 8))
    first = pending(study, pd.DataFrame(), pinning=False)
    assert [each.id for each in first] == [each.id for each in pending(study, pd.DataFrame(), pinning=False)]
    rows = pd.DataFrame([row(each) for each in first])
    second = pending(study, rows, pinning=False)
    assert {each.block for each in second} == {1}
    assert [(e.arm, e.configuration) for e in second] != [(e.arm, e.configuration) for e in first]


def test_repeats_end_with_a_narrow_interval_or_at_the_cap():
    assert run(spec(**WIDE), steady)["block"].max() == 1
    found = run(spec(**WIDE), noisy)
    assert found["block"].max() == 3
    assert (found.groupby(["arm", "num_workers"]).size() == 4).all()


def test_only_what_is_uncertain_is_repeated():
    found = run(spec(**WIDE), lambda planned: noisy(planned) if planned.arm == "loader" else steady(planned))
    counts = found.groupby("arm").size()
    assert (counts["loader"], counts["end_to_end"], counts["compute"]) == (2 * 4, 2 * 2, 2)


@pytest.mark.parametrize("fault", ["failed", "timed_out", "skipped", "out_of_memory"])
def test_what_failed_or_was_skipped_is_not_tried_again(fault):
    found = run(
        spec(**WIDE), noisy, status=lambda planned: fault if planned.configuration.num_workers == 1 else "complete"
    )
    assert (found[found["num_workers"] == 1].groupby("arm").size() == 1).all()


def test_around_the_best_one_setting_at_a_time_and_the_best_again():
    study = spec(
        num_workers=(0, 2),
        prefetch_factor=(2, 4),
        persistent_workers=(True,),
        cv2_threads=(0,),
        start_method=("spawn",),
    )
    found = run(study, steady)
    extra = found[found["phase"] == AROUND]
    assert set(extra["arm"]) == {"end_to_end"}
    assert extra["num_workers"].isin([0, 2]).all()
    assert extra["block"].min() == study.repeats
    first = extra[extra["block"] == extra["block"].min()]
    assert len(first) == 7  # the best, prefetch 2 and 4, persistent, spawn, cv2 0, and PyTorch's defaults
    assert (first["num_workers"] == 0).sum() == 1


def test_settings_that_need_workers_are_not_tried_without():
    study = spec(num_workers=(0,), prefetch_factor=(4,), persistent_workers=(True,), start_method=("spawn",))
    assert around(study, configuration(batch_size=4)) == []
    assert set(run(study, steady)["phase"]) == {GRID}
    with_threads = spec(num_workers=(0,), prefetch_factor=(4,), cv2_threads=(0,))
    assert [each.cv2_threads for each in around(with_threads, configuration(batch_size=4))] == [1, 0]


def test_where_nothing_completed_there_is_no_best_to_look_around():
    found = run(spec(cv2_threads=(0,)), steady, status=lambda _: "failed")
    assert set(found["phase"]) == {GRID}


def test_a_kill_anywhere_loses_nothing_and_repeats_nothing():
    study = spec(**WIDE, num_workers=(0, 1), cv2_threads=(0,))
    whole = run(study, noisy)
    for cut in range(0, len(whole), 3):
        left = pending(study, whole.iloc[:cut], pinning=False)
        assert left[0].id == whole.iloc[cut]["id"]
    assert whole["id"].is_unique


def test_it_is_told_how_many_series_reached_the_interval():
    study = spec(**WIDE, num_workers=(0, 1))
    found = run(study, lambda planned: noisy(planned) if planned.arm == "loader" else steady(planned))
    assert reached_interval(study, found) == (3, 5)  # two of training, the step; not the two of loading
    assert reached_interval(study, pd.DataFrame()) == (0, 0)


def test_the_best_is_looked_for_with_the_noise_of_the_grid():
    """On a noisy machine 2 workers are not told from 0, and nothing is laid around them."""
    study = spec(**WIDE, num_workers=(0, 2), cv2_threads=(0,))
    quiet = run(study, steady)
    assert set(quiet.loc[quiet["phase"] == AROUND, "num_workers"]) == {0, 2}
    grid_rows = quiet[quiet["phase"] == GRID].assign(noise_spread=0.3)
    assert {each.configuration.num_workers for each in pending(study, grid_rows, pinning=False)} == {0}


def test_a_half_width_needs_two_values():
    assert relative_half_width([100.0]) == float("inf")
    assert relative_half_width([100.0, 100.0, 100.0]) == 0
    assert relative_half_width([90, 100, 110]) > 0.05
