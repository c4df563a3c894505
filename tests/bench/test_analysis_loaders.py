"""The verdict of a loader study: studies whose answer is known, and the rules behind it one by one.

tests/proofs/test_loader_verdicts.py calls tests of studies drawn at random with more seeds.
"""

import math

import numpy as np
import pandas as pd
import pytest

from bench.kinds.loaders.analysis.bottleneck import (
    BALANCED,
    COMPUTE_BOUND,
    IN_TURN,
    LOADER_BOUND,
    SHARED_CORES,
    UNKNOWN,
    add_model,
    bottleneck,
    flips_at,
    worker_curve,
)
from bench.kinds.loaders.analysis.choice import SLOWER, USUAL_CV2_THREADS, by_cost, choose, panel_state
from bench.kinds.loaders.analysis.configurations import (
    END_TO_END,
    NOT_PINNED,
    Compared,
    compare,
    compared_panel,
    configuration_key,
    panels,
    pool_pinning,
)
from bench.kinds.loaders.analysis.findings import Comparison, Ratio
from bench.kinds.loaders.analysis.headline import headline, headline_metrics, sureness
from bench.kinds.loaders.analysis.ratios import Ratios, Times, looks, speed_ratios
from bench.kinds.loaders.analysis.verdict import _measured, _most_lost, best_of_grid, loaders_verdict
from bench.measure.loader.configuration import configuration
from bench.report.dataloader_call import dataloader_call
from bench.statistics.json_safe import to_json_safe
from tests.support.loader_cases import (
    ALONE,
    BATCH_SIZE,
    BLOCKS,
    CASES,
    FLIPPED,
    LOCKED,
    SHARING,
    comparison_of,
    simulated_study,
    verdict_of,
)
from tests.support.loader_worlds import World, simulated_frames

EVERY_CASE = {**CASES, "flipped": FLIPPED, **ALONE, "shared cores": SHARING, "a lock": LOCKED}


@pytest.mark.parametrize("name", EVERY_CASE)
def test_the_bottleneck_is_the_one_that_was_built_in(name, seed=0):
    assert verdict_of(EVERY_CASE[name], seed).bottleneck == EVERY_CASE[name].bottleneck


@pytest.mark.parametrize("name", EVERY_CASE)
def test_what_was_measured_is_close_to_what_is_possible(name, seed=0):
    """One process that does both in turn is not held against the slower of both."""
    complete = verdict_of(EVERY_CASE[name], seed).complete
    if name == "one slow sample in fifty":  # the queues of a few workers run dry
        complete = complete[complete["num_workers"].isin([0, 8])]
    assert complete["of_model"].between(0.9, 1.1).all()
    assert not complete["disturbed"].any()


def test_loader_bound_wants_all_workers():
    found = verdict_of(CASES["loader-bound"])
    assert found.recommended["num_workers"] == 8
    assert (found.knee, found.flips_at) == (8, None)
    assert found.call == "DataLoader(dataset, batch_size=4, num_workers=8)"
    assert found.gain.low > 6
    assert "more than 8 workers were not tried" in headline(found, computes="step")


def test_compute_bound_wants_no_more_workers_than_needed():
    found = verdict_of(CASES["compute-bound"])
    assert found.pick.settled
    assert (found.recommended["num_workers"], found.knee, found.flips_at) == (1, 1, 1)
    assert len(found.pick.equal) == 3
    assert "Equal to it within 3 %: " in found.text
    assert found.gain.low < 1.2 < found.gain.high  # 0.24 s a batch in turn, 0.2 s hidden
    assert "The step is the limit" in headline(found, computes="step")


def test_workers_that_wait_for_one_lock_are_no_faster_than_one():
    found = verdict_of(LOCKED, 1)
    assert found.pick.settled
    assert (found.recommended["num_workers"], found.knee) == (1, 1)
    assert headline(found, computes="step").endswith("; more workers do not help.")


def test_in_turn_both_shares_are_said():
    found = verdict_of(ALONE["in turn, balanced"])
    assert "loading takes 50 % of the time, the network 50 %" in headline(found, computes="network")


def test_a_slow_first_batch_is_told_and_changes_no_speed():
    slow = verdict_of(CASES["slow first batch"])
    assert "The first batch takes 5 s" in slow.text
    assert slow.configurations["images_per_s"].max() == pytest.approx(50, rel=0.06)


def test_one_slow_sample_in_fifty_is_hidden_by_enough_workers_only():
    found = verdict_of(CASES["one slow sample in fifty"])
    few = found.configurations.set_index("num_workers").loc[1]
    assert few["wait_p99_ms"] > 400
    assert few["images_per_s"] < 50
    assert found.recommended["num_workers"] == 8


def test_where_memory_ends_it_the_verdict_says_so():
    found = verdict_of(CASES["memory-bound"])
    assert "Memory is the limit" in found.text
    assert "would need 3.1 GB of /dev/shm, 1.0 GB free" in found.text
    assert "ran out of memory" in found.text
    assert len(found.configurations) == 5


@pytest.mark.parametrize("seed", range(2))
def test_on_a_noisy_machine_no_small_difference_is_called_one(seed):
    """1 to 8 workers are equal: one of them is picked where that was shown, else nothing is settled."""
    found = verdict_of(CASES["noisy"], seed)
    standing = found.configurations.set_index("num_workers")["standing"]
    assert SLOWER not in set(standing[standing.index > 0])
    assert found.pick.settled or headline(found, computes="step", longer="do more").startswith("Not settled: best so ")
    assert found.dropped > 0
    assert "other programs used more of the machine" in found.text


def test_the_verdict_flips_when_nothing_but_the_samples_cost_changes():
    before, after = verdict_of(CASES["flips"]), verdict_of(FLIPPED)
    assert (before.bottleneck, after.bottleneck) == ("compute-bound", "loader-bound")
    assert (before.flips_at, after.flips_at) == (2, None)
    assert before.recommended["num_workers"] < after.recommended["num_workers"] == 8


def test_without_an_accelerator_pinning_is_pooled_and_not_ranked():
    pooled = verdict_of(CASES["compute-bound"], pin_memory=(False, True), blocks=4)
    assert NOT_PINNED in pooled.sentences
    assert not pooled.configurations["pin_memory"].any()
    assert len(pooled.configurations) == 5
    assert "pin_memory=True" not in pooled.text
    assert NOT_PINNED not in verdict_of(CASES["compute-bound"]).sentences  # nobody asked


def test_the_search_for_the_largest_batch_is_no_measurement():
    frame = pd.DataFrame({"phase": ["largest", "grid", "largest", "around"], "block": [0, 1, 2, 3]})
    expected = pd.DataFrame({"phase": ["grid", "around"], "block": [1, 3]})
    pd.testing.assert_frame_equal(_measured(frame), expected)


def test_pinning_of_which_nothing_is_known_is_pooled():
    lives = pd.DataFrame(
        {"pin_memory": [True, False], "effective_pin_memory": [None, None], "device": "cpu", "status": "complete"}
    )
    slices = pd.DataFrame({"pin_memory": [True, False, False]})
    pooled, pooled_slices, told = pool_pinning(lives, slices)
    assert (pooled["pin_memory"].tolist(), pooled_slices["pin_memory"].tolist()) == ([False] * 2, [False] * 3)
    assert told == NOT_PINNED
    pinned = lives.assign(effective_pin_memory=[None, True])
    assert pool_pinning(pinned, slices) == (pinned, slices, "")
    never = lives.assign(pin_memory=False)
    assert pool_pinning(never, slices)[2] == ""


def test_with_an_accelerator_pinning_is_a_setting_like_others():
    case, both = CASES["compute-bound"], (False, True)
    lives, slices = simulated_study(case, pin_memory=both)
    lives = lives.assign(device="cuda", effective_pin_memory=lives["pin_memory"])
    faster = slices["pin_memory"] & (slices["arm"] == END_TO_END)
    slices.loc[faster, "seconds"] /= 1.5
    slices.loc[slices["arm"] != END_TO_END, ["seconds", "host_s"]] /= 1.5
    found = loaders_verdict(lives, slices, plan=comparison_of(case, pin_memory=both))
    assert found.call == "DataLoader(dataset, batch_size=4, num_workers=1, pin_memory=True)"
    assert len(found.configurations) == 10


def test_nothing_completed():
    lives, _ = simulated_study(CASES["compute-bound"])
    plan = comparison_of(CASES["compute-bound"])
    found = loaders_verdict(lives.assign(status="failed", error="ValueError: no"), pd.DataFrame(), plan=plan)
    assert (found.recommended, found.call) == (None, "")
    assert found.why_not.startswith("Nothing is recommended. All 140 measurements failed: 140 times `ValueError: no`.")
    assert "5 configurations failed (for example no workers with batches of 4: ValueError: no)." in found.text
    assert headline(found, computes="step") == found.why_not
    assert headline_metrics(found) == {}


def test_no_rows_at_all():
    plan = comparison_of(CASES["compute-bound"])
    found = loaders_verdict(pd.DataFrame(), pd.DataFrame(), plan=plan, remaining=3)
    assert found.recommended is None
    assert "yet" in found.why_not


def test_one_block_has_no_interval_and_settles_nothing():
    case = CASES["loader-bound"]
    lives, slices = simulated_study(case)
    found = loaders_verdict(lives[lives["block"] == 0], slices[slices["block"] == 0], plan=comparison_of(case))
    assert found.configurations["low"].isna().all()
    assert not found.pick.settled
    assert (found.bottleneck, found.knee, found.flips_at, found.gain.low) == ("unknown", None, None, None)
    assert "1 block of fresh processes side by side: too few" in sureness(found, cores=2, computes="step")


def test_a_block_that_was_interrupted_is_compared_by_what_it_has():
    case = CASES["loader-bound"]
    lives, slices = simulated_study(case)
    cut = (slices["block"] == 27) & (slices["num_workers"] == 8)
    found = loaders_verdict(lives, slices[~cut], plan=comparison_of(case)).configurations.set_index("num_workers")
    assert list(found.loc[[0, 8], "n"]) == [28, 27]


def test_a_life_that_ended_in_a_fault_counts_in_no_speed():
    case = CASES["loader-bound"]
    lives, slices = simulated_study(case)
    ill = (lives["block"] == 3) & (lives["num_workers"] == 2)
    lives.loc[ill, ["status", "error"]] = ["timed_out", "hung"]
    found = loaders_verdict(lives, slices, plan=comparison_of(case)).configurations.set_index("num_workers")
    assert (found.loc[2, "n"], found.loc[2, "faults"], found.loc[2, "status"]) == (27, 1, "timed_out"), (
        "one that fails at times is not taken"
    )


def test_a_verdict_is_plain_json():
    found = verdict_of(CASES["memory-bound"])
    document = to_json_safe({"rows": found.configurations, "recommended": found.recommended, "gain": found.gain})
    assert document["recommended"]["num_workers"] == 2
    assert document["rows"][-1]["images_per_s"] is None


def sure(value, width=0.02):
    return Ratio(value, value * (1 - width), value * (1 + width), 10)


def test_what_a_configuration_may_lose_by_hand():
    """In blocks that scatter alike: `slow` takes 1.25 times as long, `once` was measured a single time."""
    unlike = np.array([[0.99], [1.0], [1.01]])
    seconds = np.array([0.010, 0.0125, 0.010, 0.010]) * unlike
    seconds[1:, 3] = math.nan
    times = Times(("fast", "slow", "same", "once"), seconds)
    ratios = Ratios(times, 0.05)
    found = Compared(None, ratios, "fast", (), None, pd.DataFrame())
    assert _most_lost(found, "slow", ["fast", "same"]) == pytest.approx(1 - ratios.between("slow", "fast").low)
    assert _most_lost(found, "slow", ["fast"]) > 0.2
    assert 0 < _most_lost(found, "fast", ["same", "slow"]) < 0.1
    assert _most_lost(found, "fast", ["slow"]) == 0, "it is surely faster"
    assert _most_lost(found, "fast", ["same", "once"]) is None
    assert _most_lost(found, "fast", []) is None


def test_what_is_possible_and_how_sure_it_is_by_hand():
    """0 workers load and compute in turn; with 2 the slower of both is possible, were there cores enough for it.

    The error level is shared by the rows.
    """
    unlike = np.array([[0.99], [1.0], [1.01]])

    def times(*seconds):
        return Times(("0", "2"), np.array(seconds) * unlike)

    frame = pd.DataFrame({"num_workers": [0, 2], "own_loader": "", "cores_used": 1.0, "cpu_s_per_image": 0.05})
    trained, loaded, computed = times(0.030, 0.012), times(0.020, 0.010), times(0.010, 0.008)
    unknown = times(math.nan, math.nan)
    found = add_model(frame, trained, loaded, computed, unknown, level=0.05, cores=4)
    assert found["possible_images_per_s"].tolist() == pytest.approx([1 / 0.030, 1 / 0.010])
    assert found["modelled_images_per_s"].tolist() == pytest.approx([1 / 0.030, 4 / 0.05])
    assert found["of_model"].tolist() == pytest.approx([1.0, (1 / 0.012) / (4 / 0.05)])
    assert found["if_loading_were_free"].tolist() == pytest.approx([3.0, 1.5])
    assert found["if_computing_were_free"].tolist() == pytest.approx([1.5, 1.2])
    assert found["bottleneck"].tolist() == [IN_TURN, LOADER_BOUND]
    assert found["disturbed"].tolist() == [False, False]
    sure = speed_ratios(list(zip(computed.seconds.T, trained.seconds.T, strict=True)), 0.05 / 2)
    assert found["if_loading_were_free_low"].tolist() == [each.low for each in sure]
    assert found["if_loading_were_free_high"].tolist() == [each.high for each in sure]
    assert not len(add_model(frame[:0], *[Times((), np.empty((3, 0)))] * 4, level=0.05, cores=None))

    host = times(0.004, 0.004)
    overlapping = add_model(frame, times(0.024, 0.008), loaded, computed, host, level=0.05, cores=None)
    assert overlapping["possible_images_per_s"].tolist() == pytest.approx([1 / 0.024, 1 / 0.010])
    assert overlapping["modelled_images_per_s"].tolist() == pytest.approx([1 / 0.024, 1 / 0.010])
    assert overlapping["disturbed"].tolist() == [False, True], "faster than is possible"
    slow = add_model(frame, trained, times(0.003, 0.003), computed, host, level=0.05, cores=None)
    assert slow["possible_images_per_s"].tolist() == pytest.approx([1 / 0.010, 1 / 0.008])


@pytest.mark.parametrize(
    ("workers", "loading", "computing", "named"),
    [
        (0, sure(4.7), sure(1.05), LOADER_BOUND),
        (0, sure(1.05), sure(4.7), COMPUTE_BOUND),
        (0, sure(1.2), sure(5.7), IN_TURN),
        (4, sure(1.3), sure(1.5), SHARED_CORES),
        (4, sure(1.0), sure(1.0), BALANCED),
        (4, sure(1.0), sure(1.1), UNKNOWN),
        (4, sure(1.1), sure(3.0), COMPUTE_BOUND),
        (4, sure(3.0), sure(1.1), LOADER_BOUND),
        (4, Ratio(3.0, None, None, 1), Ratio(1.0, None, None, 1), UNKNOWN),
        (4, sure(1.3, 0.14), sure(1.0), LOADER_BOUND),
        (4, sure(1.0), sure(1.3, 0.14), COMPUTE_BOUND),
        (4, sure(1.3, 0.14), sure(1.1), UNKNOWN),
        (4, sure(1.1), sure(1.3, 0.14), UNKNOWN),
    ],
)
def test_the_bottleneck_is_what_made_faster_would_speed_training_up(workers, loading, computing, named):
    assert bottleneck({"num_workers": workers, "own_loader": "", "cores_used": 1.9}, loading, computing, 2) == named


def test_loading_much_faster_than_computing_is_never_called_the_limit():
    """The first design's error: loading alone 724 images/s, computing alone 153, and 19 % of the time waiting."""
    assert (
        bottleneck({"num_workers": 0, "own_loader": "", "cores_used": 1.0}, sure(153 / 121), sure(724 / 121), 2)
        == IN_TURN
    )
    assert (
        bottleneck({"num_workers": 2, "own_loader": "", "cores_used": 1.0}, sure(153 / 140), sure(724 / 140), 2)
        == COMPUTE_BOUND
    )


def test_with_idle_cores_the_limit_is_what_surely_gains_more():
    idle = {"num_workers": 4, "own_loader": "", "cores_used": 0.4}
    assert bottleneck(idle, sure(1.3), sure(1.29), 2) == UNKNOWN
    assert bottleneck(idle, sure(1.2), sure(1.5), 2) == COMPUTE_BOUND


def test_cores_that_are_idle_are_not_fought_for():
    assert bottleneck({"num_workers": 4, "own_loader": "", "cores_used": 0.4}, sure(1.5), sure(1.2), 2) == LOADER_BOUND


def test_faster_than_possible_is_disturbed_and_has_no_verdict():
    """463 % of what is possible was measured once, and recommended."""
    case = CASES["compute-bound"]
    lives, slices = simulated_study(case)
    slices.loc[slices["arm"] == "compute", "seconds"] *= 4.63
    plan = comparison_of(case)
    found = loaders_verdict(lives, slices, plan=plan)
    assert found.recommended is None
    assert "Batches of 4 have no verdict: with " in found.why_not
    assert all(compare(panel, plan).disturbed for panel in panels(lives, slices))
    assert [(pick.key, pick.settled) for pick in found.picks] == [("", False)]
    assert best_of_grid(lives, slices, plan) is None
    assert not any(compare(panel, plan).disturbed for panel in panels(*simulated_study(case)))


def test_panels_without_a_slice_are_all_there():
    lives, slices = simulated_study(CASES["compute-bound"])
    twice = pd.concat([lives, lives.assign(panel=lives["panel"] + 1)])
    assert [panel.number for panel in panels(twice, slices.iloc[:0])] == [0, 1]
    assert panels(lives.iloc[:0], slices) == []


def test_costs_are_medians_and_peaks_over_the_blocks():
    """Peaks are those of all processes, medians those of the ones that completed."""
    case = CASES["compute-bound"]
    lives, slices = simulated_study(case, blocks=4)
    own = lives.index[lives["num_workers"] == 1]
    lives.loc[own, "peak_memory_bytes"] = [3e8, 1e8, 2e8, 5e8]
    lives.loc[own, "first_batch_s"] = [0.3, 0.1, 0.2, 0.7]
    lives.loc[own[3], ["status", "error"]] = ["failed", "why"]
    (panel,) = panels(lives, slices)
    rows = compare(panel, comparison_of(case, blocks=4)).frame.set_index("num_workers")
    row = rows.loc[1]
    assert (row["peak_memory_bytes"], row["usual_memory_bytes"], row["first_batch_s"]) == (5e8, 2e8, 0.2)
    assert (row["status"], row["error"], row["faults"], row["n"]) == ("failed", "why", 1, 3)
    assert (rows.loc[0, "status"], rows.loc[0, "error"], rows.loc[0, "faults"]) == ("complete", "", 0)


def exact(*costs, blocks=6, scatter=0.004, seed=0):
    """Ratios of configurations `0`, `1` ... of these mean costs."""
    noise = 1 + scatter * np.random.default_rng(seed).standard_normal((blocks, len(costs)))
    return Ratios(Times(tuple(map(str, range(len(costs)))), np.asarray(costs) * noise), 0.05 / 3 / len(costs))


def test_the_cheapest_within_the_margin_is_taken_and_a_dearer_fastest_is_not():
    found = choose(exact(1.30, 1.01, 1.0), ["0", "1", "2"], 0.03)
    assert (found.key, found.settled, found.fastest) == ("1", True, "2")
    assert found.standings == {"0": "slower", "1": "within", "2": "within"}


def test_what_has_dropped_out_is_no_fastest_whatever_its_mean_in_other_blocks_was():
    costs = np.array([[1.0, 1.01, 1.5]] * 6 + [[3.0, 3.1, np.nan]] * 6)
    found = choose(Ratios(Times(("0", "1", "2"), costs), 0.05 / 9), ["0", "1", "2"], 0.03)
    assert float(np.nanmean(costs[:, 2])) < float(np.nanmean(costs[:, 0])), "measured in the blocks that were fast"
    assert (found.standings["2"], found.fastest) == ("slower", "0")


def test_absence_of_evidence_settles_nothing():
    found = choose(exact(1.02, 1.0, scatter=0.1), ["0", "1"], 0.03)
    assert not found.settled
    assert set(found.standings.values()) == {"open"}


def test_a_loss_beyond_the_margin_is_never_taken_for_being_cheap():
    """67 images/s were recommended beside 330, since two repeats could not tell them apart."""
    for seed in range(20):
        found = choose(exact(330 / 67, 1.0, scatter=0.3, blocks=2, seed=seed), ["0", "1"], 0.03)
        assert found.key == "1"


def test_what_is_shown_to_be_slower_drops_out_and_reference_and_fastest_stay():
    state = panel_state(
        exact(1.3, 1.2, 1.005, 1.0, scatter=0.006), list("0123"), "0", Comparison((4, 6), 6, 0.01, 0.02)
    )
    assert (state.settled, state.next) == (False, ("0", "2", "3"))
    done = panel_state(exact(1.3, 1.2, 1.0, scatter=0.004), list("012"), "0", Comparison((4, 6), 3))
    assert (done.open, done.next, done.settled) == ((), (), True)
    assert panel_state(exact(1.0), ["0"], "0", Comparison((4,), 1)).settled


def test_a_panel_of_frames_has_a_state():
    lives, slices = simulated_frames(World((1.5, 1.0, 1.0)), 0, 13)
    plan = Comparison((4, 6, 9, 13), 3)
    state = compared_panel(lives, slices, plan, phase="grid", panel=0).state(plan)
    (panel,) = panels(lives, slices)
    assert state.settled == (not state.open)
    assert compare(panel, plan).choice.standings[panel.keys[0]] == SLOWER


def row(workers, speed, **more):
    whole = {"status": "complete", "num_workers": workers, "images_per_s": speed, "batch_size": 8, "pin_memory": False}
    whole |= {"prefetch_factor": None, "persistent_workers": False, "start_method": None, "cv2_threads": 1, "n": 5}
    whole |= {"usual_memory_bytes": 1e8 * (1 + workers), "own_loader": "", "bottleneck": "loader-bound", "faults": 0}
    return whole | {"key": f"{workers} {more}"} | more


def test_cost_is_workers_then_pinning_then_memory():
    pinned = row(2, 99.2, usual_memory_bytes=1e8, pin_memory=True, key="pinned")
    large = row(2, 98.9, usual_memory_bytes=9e8, key="large")
    frame = pd.DataFrame([row(4, 100, key="4"), pinned, large, row(2, 99, key="2"), row(0, 50, key="0", n=0)])
    assert by_cost(frame) == ["2", "large", "pinned", "4"]


def test_flip_of_a_curve():
    frame = pd.DataFrame(
        [
            row(0, 30, bottleneck=IN_TURN),
            row(1, 60),
            row(2, 98, bottleneck=BALANCED),
            row(4, 98.5, bottleneck=COMPUTE_BOUND),
            row(4, 70, prefetch_factor=8),
            row(4, 70, batch_size=16),
        ]
    )
    curve = worker_curve(frame, row(4, 98.5))
    assert curve["num_workers"].tolist() == [0, 1, 2, 4]
    assert flips_at(curve) == 2
    assert flips_at(curve[curve["num_workers"] < 2]) is None
    assert flips_at(curve.assign(bottleneck=[IN_TURN, UNKNOWN, BALANCED, BALANCED])) is None
    assert flips_at(curve.assign(bottleneck=[BALANCED, BALANCED, LOADER_BOUND, BALANCED])) == 4
    assert worker_curve(frame, row(4, 0, prefetch_factor=8))["num_workers"].tolist() == [0, 4]


def test_a_call_names_only_what_differs_from_the_defaults():
    frame = pd.DataFrame([row(0, 1), row(3, 1, prefetch_factor=4, persistent_workers=True, start_method="spawn")])
    assert dataloader_call(frame.iloc[0]) == "DataLoader(dataset, batch_size=8)"
    assert dataloader_call(frame.iloc[1]) == (
        "DataLoader(dataset, batch_size=8, num_workers=3, prefetch_factor=4, persistent_workers=True, "
        "multiprocessing_context='spawn')"
    )


VARIANTS = ({"prefetch_factor": 4}, {"persistent_workers": True}, {"start_method": "spawn"}, {"cv2_threads": 0})


def around(factors, *, case=LOCKED, seed=1):
    """Frames of a case's grid, and around its pick (1 worker) VARIANTS, each so many times as fast."""
    lives, slices = simulated_study(case, 1)
    own_lives, own = ([frame[frame["num_workers"] == workers] for workers in (1, 0)] for frame in (lives, slices))
    rng = np.random.default_rng(seed)
    for settings, factor in zip(VARIANTS, factors, strict=True):
        noise = np.exp(0.01 * rng.standard_normal(len(own[0])))
        faster = own[0].assign(seconds=own[0]["seconds"] / factor * noise)
        own.append(faster.assign(**settings))
        own_lives.append(own_lives[0].assign(epoch_gap_s=0.02).assign(**settings))
    own_lives[0] = own_lives[0].assign(epoch_gap_s=0.5)
    lives, slices = (
        pd.concat([grid, pd.concat(each).assign(phase="around", panel=1)], ignore_index=True)
        for grid, each in ((lives.assign(epoch_gap_s=0.5), own_lives), (slices, own))
    )
    plan = Comparison(looks=looks(BLOCKS, 4), pairs=10 + 15, cores=2)
    return loaders_verdict(lives, slices, plan=plan)


@pytest.mark.parametrize("seed", range(3))
def test_variants_that_change_nothing_are_not_recommended(seed):
    found = around([1.0, 1.0, 1.0, 1.0], seed=seed)
    assert found.call == "DataLoader(dataset, batch_size=4, num_workers=1)"
    assert {each.standing for each in found.variants} <= {"equal", "open"}
    assert "The change of epochs took 0.02 s with persistent_workers=True, and 0.5 s without." in found.sentences


def test_a_variant_that_is_really_faster_is_taken_and_its_gain_over_the_defaults_has_an_interval():
    found = around([1.3, 1.0, 1.0, 1.0])
    assert found.call == "DataLoader(dataset, batch_size=4, num_workers=1, prefetch_factor=4)"
    assert "With prefetch_factor=4 it is 1.3" in found.text
    assert found.gain.n == 28
    assert found.gain.low < 1.5 * 1.3 < found.gain.high
    assert found.bottleneck == "loader-bound"
    assert (found.knee, found.flips_at) == (1, None), "the curve is the grid's"


def test_a_gain_within_the_margin_is_none():
    assert around([1.02, 1.0, 1.0, 1.0]).recommended["prefetch_factor"] is None
    assert around([1.0, 0.8, 1.0, 1.0]).variants[1].standing == "slower"


def test_a_variant_that_is_faster_than_possible_is_not_taken():
    """The step alone bounds it: 1.3 times as fast cannot be."""
    found = around([1.3, 1.0, 1.0, 1.0], case=CASES["compute-bound"])
    assert found.variants[0].standing == "faster"
    assert found.recommended["prefetch_factor"] is None


def test_threads_that_are_worth_it_are_named_since_no_argument_of_the_loader_says_them():
    found = around([1.0, 1.0, 1.0, 1.5])
    assert found.recommended["cv2_threads"] == 0
    assert "It needs cv2.setNumThreads(0) in every process that makes samples." in found.text


def test_the_usual_threads_are_those_of_a_configuration():
    assert configuration().cv2_threads == USUAL_CV2_THREADS


def test_each_batch_size_has_its_pick_and_the_words_say_that_they_are_other_trainings():
    small, large = simulated_study(CASES["flips"]), simulated_study(CASES["compute-bound"], 1)
    lives, slices = (
        pd.concat([one, other.assign(batch_size=8, panel=1)], ignore_index=True)
        for one, other in zip(small, large, strict=True)
    )
    found = loaders_verdict(lives, slices, plan=Comparison(looks(BLOCKS, 4), 20))
    assert [(each.batch_size, each.recommended["num_workers"]) for each in found.picks] == [(4, 2), (8, 1)]
    assert found.recommended["batch_size"] == 4
    assert "Changing the batch size changes the training" in headline(found, computes="step")


def test_a_loader_of_ones_own_has_its_name_in_words_and_no_call():
    lives, slices = (
        frame.assign(own_loader=np.where(frame["num_workers"] == 8, "my_package:make_loader", ""))
        for frame in simulated_study(CASES["loader-bound"])
    )
    found = loaders_verdict(lives, slices, plan=comparison_of(CASES["loader-bound"]))
    assert headline(found, computes="step").startswith("Use your loader `my_package:make_loader` with batches of 4: ")
    assert found.call == ""
    assert found.chosen == configuration_key({**configuration(batch_size=4, num_workers=8).model_dump(),
                                              "own_loader": "my_package:make_loader"})  # fmt: skip


def test_pytorchs_default_is_the_number_of_workers_and_no_batch_size():
    found = headline(verdict_of(ALONE["in turn, balanced"]), computes="step")
    assert found.startswith(f"Keep PyTorch's default of no workers, with batches of {BATCH_SIZE}: ")


def test_what_is_not_settled_says_how_much_the_best_so_far_may_lose():
    found = verdict_of(CASES["flips"], blocks=6)
    assert not found.pick.settled
    assert 0.03 < found.pick.loses_at_most < 0.1
    said = headline(found, computes="step", longer="more `--minutes` may settle it")
    assert f" and at most {100 * found.pick.loses_at_most:.1f} % slower than any other tried; more `--minutes`" in said


@pytest.mark.parametrize("name", EVERY_CASE)
def test_a_headline_has_three_sentences_at_most(name):
    said = headline(verdict_of(EVERY_CASE[name]), computes="network", longer="`--preset small` takes 8 minutes")
    assert 1 <= said.count(". ") + 1 <= 3


def test_pinning_that_was_asked_for_and_could_do_nothing_is_told():
    assert NOT_PINNED in verdict_of(CASES["compute-bound"], pinning_idle=NOT_PINNED).sentences


def test_without_a_step_nothing_is_said_of_training():
    case = CASES["loader-bound"]
    lives, slices = simulated_study(case)
    slices = slices[slices["arm"] == END_TO_END]
    found = loaders_verdict(lives, slices, plan=comparison_of(case), has_step=False)
    assert "No step was given" in found.text
    assert "Training" not in found.text
    assert found.bottleneck == "loader-bound"
    assert math.isnan(found.configuration(found.chosen)["possible_images_per_s"])


def test_different_batches_leave_nothing_to_recommend():
    found = verdict_of(CASES["loader-bound"], different=["a delivered a different batch 0 than b."])
    assert (found.recommended, found.call) == (None, "")
    assert "nothing can be compared. a delivered a different batch" in found.text
