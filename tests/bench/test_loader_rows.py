"""A loader study's rows and rules, from frames so small that every number is known by hand."""

import math

import numpy as np
import pandas as pd
import pytest

from bench.kinds.loaders.analysis.bottleneck import (
    BALANCED,
    COMPUTE_BOUND,
    IN_TURN,
    LOADER_BOUND,
    MEMORY_BOUND,
    SHARED_CORES,
    UNKNOWN,
    _is_disturbed,
    bottleneck,
    worker_curve,
)
from bench.kinds.loaders.analysis.choice import by_cost, panel_state, reference_of
from bench.kinds.loaders.analysis.configurations import (
    NOT_PINNED,
    Compared,
    compare,
    computed_by,
    panels,
    pool_pinning,
)
from bench.kinds.loaders.analysis.findings import Comparison, Ratio
from bench.kinds.loaders.analysis.ratios import Ratios, Times
from bench.kinds.loaders.analysis.variants import _standing
from bench.kinds.loaders.analysis.verdict import _bound, _knee, loaders_verdict
from bench.measure.loader.configuration import configuration
from tests.bench.test_analysis_loaders import exact, row

PLAN = Comparison((2,), 1, cores=4.0)
QUANTILES = [float(each) for each in range(101)]


def process(workers, block=0, **more):
    place = {"phase": "grid", "panel": 0, "block": block, "own_loader": "", "status": "complete", "error": ""}
    ran = {"effective_pin_memory": False, "device": "cpu", "first_batch_s": 1.0, "epoch_gap_s": 0.5}
    peaks = {
        "peak_memory_bytes": 1e8,
        "shm_peak_bytes": 1e6,
        "gpu_memory_bytes": math.nan,
        "gpu_others_bytes": math.nan,
    }
    waits = {"wait_quantiles_ms": QUANTILES, "gpu_utilization_percent": math.nan}
    return place | configuration(batch_size=8, num_workers=workers).model_dump() | ran | peaks | waits | more


def timed(workers, seconds, arm="end_to_end", block=0, **more):
    """A slice of a hundred images in ten batches."""
    place = {"phase": "grid", "panel": 0, "block": block, "own_loader": "", "arm": arm}
    spent = {"images": 100, "batches": 10, "seconds": seconds, "host_s": 0.0, "cpu_s": 0.0, "others_share": 0.0}
    parts = {"wait_s": 0.0, "compute_s": 0.0}
    return place | configuration(batch_size=8, num_workers=workers).model_dump() | spent | parts | more


def rows_of(processes, slices):
    (panel,) = panels(pd.DataFrame(processes), pd.DataFrame(slices))
    return compare(panel, PLAN).frame.set_index("num_workers")


def test_a_row_has_the_sums_of_its_slices():
    parts = [{"wait_s": 1.0, "compute_s": 3.0, "cpu_s": 6.0}, {"wait_s": 2.0, "compute_s": 4.0, "cpu_s": 2.0}]
    slices = [
        timed(2, 4.0, **parts[0]),
        timed(2, 6.0, **parts[1]),
        timed(2, 2.0, "loader", cpu_s=3.0),
        timed(2, 5.0, "compute", cpu_s=4.0),
        timed(2, 9.0, others_share=0.5),
        timed(4, 4.0, compute_s=8.0),
        timed(4, 10.0, "loader"),
    ]
    found = rows_of([process(2), process(4)], slices)
    two, four = found.loc[2], found.loc[4]
    assert (two["n"], two["slices"], two["dropped"], two["others_share"]) == (1, 5, 1, 0.0)
    assert (two["images_per_s"], two["loader_images_per_s"], two["compute_images_per_s"]) == (20.0, 50.0, 20.0)
    assert (two["data_wait_share"], two["au"], two["compute_ms"], two["cores_used"]) == (0.3, 0.7, 350.0, 0.8)
    assert two["cpu_s_per_image"] == pytest.approx(0.03 + 0.04)
    assert (four["n"], four["slices"], four["dropped"], four["images_per_s"]) == (1, 2, 0, 25.0)
    assert four["au"] == 1.0, "a device that computes on after the slice is no more than busy"
    assert four["compute_images_per_s"] == 20.0, "the step was measured once, with 2 workers"
    assert four["loader_images_per_s"] == 10.0
    assert [two["ratio"], four["ratio"], two["to_fastest"], four["to_fastest"]] == pytest.approx([1.0, 1.25, 0.8, 1.0])
    assert (two["standing"], four["standing"]) == ("open", "fastest")
    assert (four["possible_images_per_s"], four["of_model"]) == (pytest.approx(10.0), pytest.approx(2.5))


def test_a_row_without_a_slice_has_no_numbers():
    found = rows_of([process(0), process(2)], [timed(0, 4.0)]).loc[2]
    names = ("data_wait_share", "au", "compute_ms", "cores_used", "images_per_s", "ratio", "to_fastest", "of_model")
    assert found[[*names]].isna().all()
    assert (found["n"], found["slices"], found["dropped"], found["standing"]) == (0, 0, 0, "")


def test_a_row_has_medians_and_peaks_of_its_processes():
    own = [
        process(2, 0, first_batch_s=1.0, epoch_gap_s=0.1, gpu_memory_bytes=5.0, shm_peak_bytes=3.0),
        process(2, 1, first_batch_s=3.0, epoch_gap_s=math.nan, gpu_others_bytes=7.0, wait_quantiles_ms=[]),
        process(2, 2, first_batch_s=4.0, epoch_gap_s=0.2, wait_quantiles_ms=[3 * each for each in QUANTILES]),
        process(2, 3, status="failed", error="why", first_batch_s=99.0, shm_peak_bytes=9.0, peak_memory_bytes=7e8),
        process(2, 4, status="timed_out", error="hung"),
    ]
    found = rows_of(own, [timed(2, 4.0, block=block) for block in range(5)]).loc[2]
    assert (found["first_batch_s"], found["epoch_gap_s"]) == (3.0, pytest.approx(0.15))
    assert [found[f"wait_p{each}_ms"] for each in (50, 95, 99)] == [100.0, 190.0, 198.0]
    assert (found["gpu_memory_bytes"], found["gpu_others_bytes"], found["shm_peak_bytes"]) == (5.0, 7.0, 1e6)
    assert (found["peak_memory_bytes"], found["usual_memory_bytes"]) == (7e8, 1e8)
    assert (found["status"], found["error"], found["faults"], found["n"]) == ("failed", "why", 2, 3)
    assert math.isnan(found["gpu_utilization_percent"])


def test_what_is_impossible_is_told_with_its_share_of_what_is_possible():
    """2 workers train 25 images a second, of which they load 10 alone; one slice in nine was disturbed."""
    processes = [process(workers, block) for workers in (0, 2) for block in range(3)]
    slices = [
        timed(workers, seconds, arm, block, others_share=0.01 * (1 + block))
        for arm, workers, seconds in (
            ("end_to_end", 2, 4.0), ("loader", 2, 10.0), ("compute", 0, 2.0), ("loader", 0, 2.0),
            ("end_to_end", 0, 4.0),
        )
        for block in range(3)
    ]  # fmt: skip
    slices.append(timed(2, 99.0, others_share=0.5))
    search = process(9, phase="largest")
    plan = Comparison((3,), 1, margin=0.07, cores=4.0)
    found = loaders_verdict(pd.DataFrame([*processes, search]), pd.DataFrame(slices), plan=plan)
    assert (found.margin, found.others_share, found.slices, found.dropped) == (0.07, 0.02, 16, 1)
    (pick,) = found.picks
    assert (pick.batch_size, pick.key, pick.settled, len(pick.disturbed)) == (8, "", False, 1)
    assert pick.why_not == (
        "Batches of 8 have no verdict: with 2 workers training ran at 250 % of what loading alone and computing alone "
        "allow. That is impossible, so one of these measurements was disturbed."
    )
    assert found.why_not == f"Nothing is recommended. {pick.why_not}"
    assert found.configurations["num_workers"].tolist() == [0, 2]


def test_panels_are_told_apart_by_phase_and_number():
    places = [{"phase": "grid", "panel": 1}, {"phase": "around", "panel": 1}, {"phase": "grid", "panel": 0}]
    processes = pd.DataFrame([process(2, **place) for place in places])
    slices = pd.DataFrame([timed(2, seconds, **place) for seconds, place in enumerate(places, 1)])
    found = panels(processes, slices)
    assert [(each.phase, each.number) for each in found] == [("grid", 1), ("around", 1), ("grid", 0)]
    assert [each.slices["seconds"].tolist() for each in found] == [[1], [2], [3]]
    assert panels(processes.drop(columns="own_loader"), slices)[0].keys == found[0].keys


def test_a_step_is_as_fast_with_all_configurations_of_its_pinning():
    frame = pd.DataFrame({"key": list("abcd"), "pin_memory": [False, True, True, False]})
    one, other, none = [1.0, 2.0], [3.0, 4.0], [math.nan] * 2

    def columns(*given):
        return computed_by(frame, Times(tuple("abcd"), np.array(given).T)).seconds.T.tolist()

    assert columns(one, none, other, none) == [one, other, other, one]
    assert columns(none, none, other, none) == [other] * 4, "better than nothing"
    assert np.isnan(columns(none, none, none, none)).all()
    assert columns(one, other, one, other) == [one, other, one, other], "each has its own"


def test_pinning_is_pooled_where_it_was_asked_for_and_nothing_was_pinned():
    asked = pd.DataFrame([process(2), process(2, pin_memory=True)])
    slices = pd.DataFrame([timed(2, 1.0, pin_memory=True)])
    pooled, timed_too, why = pool_pinning(asked, slices)
    assert why == NOT_PINNED
    assert not pooled["pin_memory"].any()
    assert not timed_too["pin_memory"].any()
    assert pool_pinning(asked.assign(effective_pin_memory=None), pd.DataFrame())[2] == NOT_PINNED
    cuda = asked.assign(device="cuda")
    for same in (
        asked.assign(effective_pin_memory=[False, True]),
        asked.assign(pin_memory=False),
        cuda,
        asked.assign(device="xpu", status=["failed", "complete"]),
        asked[:0],
    ):
        assert pool_pinning(same, slices)[0] is same
        assert pool_pinning(same, slices)[2] == ""
    assert pool_pinning(cuda.assign(status="failed"), slices)[2] == NOT_PINNED, "nothing has run there"


def test_equal_costs_are_ordered_by_memory_and_speed_and_a_loader_of_ones_own_costs_more():
    rows = [
        row(2, 10, key="unknown", usual_memory_bytes=math.nan),
        row(2, 20, key="own", own_loader="mine:make", usual_memory_bytes=1.0),
        row(2, 30, key="slow", usual_memory_bytes=5.0),
        row(2, 40, key="fast", usual_memory_bytes=5.0),
        row(2, 50, key="ill", usual_memory_bytes=1.0, faults=1),
        row(2, 60, key="light", usual_memory_bytes=4.0),
    ]
    assert by_cost(pd.DataFrame(rows)) == ["light", "fast", "slow", "unknown", "own"]


def test_the_reference_is_the_default_or_what_is_nearest_to_it():
    default = row(0, 1, key="default")
    others = [
        row(0, 1, key="own", own_loader="mine:make"),
        row(1, 1, key="pinned", pin_memory=True),
        row(2, 1, key="two"),
        row(1, 1, key="one"),
    ]
    assert reference_of(pd.DataFrame([*others, default])) == "default"
    assert reference_of(pd.DataFrame([*others, {**default, "faults": 1}])) == "one"
    assert reference_of(pd.DataFrame([*others, {**default, "n": 0}])) == "one"
    assert reference_of(pd.DataFrame(others[:3])) == "pinned"
    assert reference_of(pd.DataFrame(others[:1])) == "own"
    assert reference_of(pd.DataFrame([{**default, "n": 0}])) == ""


def test_a_panel_in_which_nothing_has_a_result_is_settled():
    state = panel_state(exact(1.0), [], "", Comparison((4,), 1))
    assert (state.open, state.next, state.settled) == ((), (), True)


def test_a_worker_curve_has_the_configurations_with_a_result_that_differ_in_nothing_else():
    rows = [row(4, 1), row(0, 1, prefetch_factor=8), row(1, 1, persistent_workers=None), row(2, 1, n=0)]
    odd = [
        row(8, 1, pin_memory=True),
        row(8, 1, cv2_threads=2),
        row(8, 1, own_loader="mine:make"),
        row(8, 1, start_method="spawn"),
        row(8, 1, persistent_workers=True),
    ]
    frame = pd.DataFrame([*rows, *odd])
    assert worker_curve(frame, row(4, 1))["num_workers"].tolist() == [0, 1, 4]
    assert worker_curve(frame, row(0, 1, prefetch_factor=8))["num_workers"].tolist() == [0, 1, 4], "PyTorch's defaults"
    assert worker_curve(frame, row(4, 1, start_method="spawn"))["num_workers"].tolist() == [0, 8]


@pytest.mark.parametrize(
    ("loading", "computing", "named"),
    [
        (Ratio(1.2, 1.1, 1.3, 9), Ratio(1.0, 1.0, 1.05, 9), UNKNOWN),
        (Ratio(1.05, 1.0, 1.1, 9), Ratio(1.0, 1.0, 1.05, 9), UNKNOWN),
        (Ratio(2.0, 1.5, 2.5, 9), Ratio(1.2, 1.05, 1.5, 9), UNKNOWN),
        (Ratio(2.0, 1.5, 2.5, 9), Ratio(1.2, 1.05, 1.49, 9), LOADER_BOUND),
        (Ratio(1.2, 1.05, 1.5, 9), Ratio(2.0, 1.5, 2.5, 9), UNKNOWN),
        (Ratio(1.2, 1.05, 1.49, 9), Ratio(2.0, 1.5, 2.5, 9), COMPUTE_BOUND),
        (Ratio(1.0, 1.0, 1.05, 9), Ratio(1.0, 1.0, 1.05, 9), BALANCED),
        (Ratio(2.0, 1.5, 2.5, 9), Ratio(1.0, None, None, 1), UNKNOWN),
        (Ratio(1.0, None, None, 1), Ratio(2.0, 1.5, 2.5, 9), UNKNOWN),
    ],
)
def test_what_an_interval_just_reaches_is_not_known(loading, computing, named):
    given = {"num_workers": 4, "own_loader": "", "cores_used": 2.0}
    assert bottleneck(given, loading, computing, 2) == named


@pytest.mark.parametrize(
    ("given", "cores", "named"),
    [
        ({"cores_used": 1.6}, 2.0, SHARED_CORES),
        ({"cores_used": 1.59}, 2.0, LOADER_BOUND),
        ({"cores_used": math.nan}, 2.0, SHARED_CORES),
        ({"cores_used": 0.1}, None, SHARED_CORES),
        ({"num_workers": 0}, 2.0, IN_TURN),
        ({"num_workers": 0, "own_loader": "mine:make"}, 2.0, SHARED_CORES),
    ],
)
def test_workers_and_step_share_the_cores_where_these_are_busy(given, cores, named):
    """Free loading would bring surely more than free computing, which would bring something too."""
    whole = {"num_workers": 4, "own_loader": "", "cores_used": 2.0} | given
    assert bottleneck(whole, Ratio(2.0, 1.9, 2.1, 9), Ratio(1.5, 1.4, 1.6, 9), cores) == named


def test_what_is_surely_faster_than_possible_by_a_tenth_was_disturbed():
    assert _is_disturbed(Ratio(1.2, 1.01, 1.3, 9))
    assert not _is_disturbed(Ratio(1.2, 1.0, 1.4, 9))
    assert not _is_disturbed(Ratio(1.1, 1.05, 1.2, 9))
    assert not _is_disturbed(Ratio(2.0, None, None, 1))


@pytest.mark.parametrize(
    ("low", "high", "standing"),
    [
        (1.26, 1.3, "faster"),
        (1.25, 1.3, "equal"),
        (1.25, 1.34, "open"),
        (0.75, 4 / 3, "equal"),
        (0.74, 0.99, "slower"),
        (0.74, 1.0, "open"),
        (0.76, 0.9, "equal"),
        (None, None, "open"),
    ],
)
def test_a_variant_is_faster_from_the_margin_on_and_slower_at_all(low, high, standing):
    assert _standing(Ratio(1.0, low, high, 9), 0.25) == standing


def curve(*costs, **more):
    """A panel of 0, 1, 2 ... workers of these mean costs, and its worker curve."""
    ratios = exact(*costs, **more)
    frame = pd.DataFrame({"key": ratios.times.keys, "num_workers": range(len(costs))})
    return Compared(None, ratios, "0", (), None, frame), frame


def test_the_knee_is_the_smallest_number_that_is_no_slower_than_any_larger_one():
    assert _knee(*curve(1.3, 1.01, 1.0), 0.03) == 1
    assert _knee(*curve(1.3, 1.2, 1.0), 0.03) == 2
    assert _knee(*curve(1.0, 1.0, 1.3), 0.03) == 0
    assert _knee(*curve(1.3, 1.03, 1.0, scatter=0.02), 0.03) is None, "1 worker is open"
    assert _knee(*curve(1.3, 1.03, 1.0, 1.2, scatter=0.02), 0.03) is None


def test_memory_is_the_limit_where_no_more_workers_fitted():
    def bound(*statuses, own=LOADER_BOUND):
        grid = pd.DataFrame({"num_workers": range(len(statuses)), "status": statuses})
        return _bound(grid, pd.Series({"num_workers": 1, "bottleneck": own}))

    for unfit in ("skipped", "out_of_memory", "bus_error"):
        assert bound("complete", "complete", unfit) == MEMORY_BOUND
        assert bound("complete", "complete", unfit, "complete") == LOADER_BOUND
        assert bound("complete", unfit) == LOADER_BOUND, "not more workers"
        assert bound("complete", "complete", unfit, own=COMPUTE_BOUND) == COMPUTE_BOUND
    assert bound("complete", "complete", "failed") == LOADER_BOUND


def test_a_ratio_differs_where_its_interval_excludes_one():
    assert Ratio(1.1, 1.01, 1.2, 9).differs
    assert Ratio(0.9, 0.8, 0.99, 9).differs
    assert not any(each.differs for each in (Ratio(1.1, 1.0, 1.2, 9), Ratio(0.9, 0.8, 1.0, 9), Ratio(2, None, None, 1)))


def test_ratios_are_zero_wide_only_of_a_configuration_to_itself():
    times = Times(("a", "b"), np.array([[1.0, 2.0], [1.0, math.nan]]))
    assert Ratios(times, 0.05).between("b", "b") == Ratio(1.0, 1.0, 1.0, 1)
