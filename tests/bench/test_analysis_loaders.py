"""What a loader study says: eight studies whose answer is known, and the rules behind it one by one.

tests/proofs/test_loader_verdicts.py calls tests of studies drawn at random with more seeds.
"""

import math

import numpy as np
import pandas as pd
import pytest

from bench.kinds.loaders.analysis.bottleneck import add_bottlenecks, alike, flips_at, knee, worker_curve
from bench.kinds.loaders.analysis.choice import USUAL_CV2_THREADS, cheapest_of_the_best, gain
from bench.kinds.loaders.analysis.configurations import NOT_PINNED, summarize_configurations, throughput_interval
from bench.kinds.loaders.analysis.verdict import loaders_verdict
from bench.measure.loader.configuration import configuration
from bench.report.dataloader_call import dataloader_call
from bench.statistics.json_safe import to_json_safe
from tests.support.loader_cases import CASES, FLIPPED, simulated_rows


def verdict_of(case, **options):
    return loaders_verdict(simulated_rows(case, **options), noise=case.noise, noisy=case.noise > 0.1)


@pytest.mark.parametrize("name", CASES)
def test_the_bottleneck_is_the_one_that_was_built_in(name, seed=0):
    assert verdict_of(CASES[name], seed=seed).bottleneck == CASES[name].bottleneck


def test_balanced_arms_are_called_balanced():
    found = verdict_of(CASES["balanced"])
    assert any(each.startswith("Loading and computing are balanced with ") for each in found.sentences)


def test_loader_bound_wants_all_workers_and_more():
    found = verdict_of(CASES["loader-bound"])
    assert found.recommended["num_workers"] == 8
    assert (found.knee, found.flips_at) == (8, None)
    assert "more may help" in found.text
    assert found.call == "DataLoader(dataset, batch_size=4, num_workers=8)"
    assert found.gain.low > 6


def test_compute_bound_wants_no_more_workers_than_needed():
    found = verdict_of(CASES["compute-bound"])
    assert (found.recommended["num_workers"], found.knee, found.flips_at) == (1, 1, 1)
    assert "compute-bound from 1 worker on" in found.text
    assert found.gain.ratio == pytest.approx(1.2, abs=0.05)  # 0.24 s a batch in turn, 0.2 s hidden


def test_a_slow_first_batch_is_told_and_changes_no_speed():
    slow = verdict_of(CASES["slow first batch"])
    assert "The first batch takes 5 s" in slow.text
    assert slow.configurations["images_per_s"].max() == pytest.approx(50, rel=0.03)


def test_one_slow_sample_in_fifty_is_hidden_by_enough_workers_only():
    found = verdict_of(CASES["one slow sample in fifty"])
    few = found.configurations.set_index("num_workers").loc[1]
    assert few["wait_p99_ms"] > 400
    assert few["images_per_s"] < 45  # 22 ms a sample on average, with the slow ones
    assert found.recommended["num_workers"] == 8


def test_where_memory_ends_it_the_verdict_says_so():
    found = verdict_of(CASES["memory-bound"])
    assert "Memory is the limit" in found.text
    assert "would need 3.1 GB of /dev/shm, 1.0 GB free" in found.text
    assert "ran out of memory" in found.text
    assert len(found.configurations) == 5


@pytest.mark.parametrize("seed", range(2))
def test_on_a_noisy_machine_no_small_difference_is_called_one(seed):
    found = verdict_of(CASES["noisy"], seed=seed)
    assert "The machine was noisy (spread 15 %)" in found.text
    assert found.recommended["num_workers"] <= 1  # 1 to 8 workers differ by the jitter alone


def test_the_verdict_flips_when_nothing_but_the_samples_cost_changes():
    before, after = verdict_of(CASES["flips"]), verdict_of(FLIPPED)
    assert (before.bottleneck, after.bottleneck) == ("compute-bound", "loader-bound")
    assert before.flips_at == 2
    assert after.flips_at is None
    assert before.recommended["num_workers"] < after.recommended["num_workers"] == 8


def test_without_an_accelerator_pinning_is_pooled_and_not_ranked():
    pooled = verdict_of(CASES["compute-bound"], pin_memory=(False, True))
    assert NOT_PINNED in pooled.sentences
    assert not pooled.configurations["pin_memory"].any()
    assert len(pooled.configurations) == 5
    assert "pin_memory=True" not in pooled.text
    assert NOT_PINNED not in verdict_of(CASES["compute-bound"]).sentences  # nobody asked


def test_with_an_accelerator_pinning_is_a_setting_like_others():
    rows = simulated_rows(CASES["compute-bound"], pin_memory=(False, True)).assign(device="cuda")
    rows["effective_pin_memory"] = rows["pin_memory"]
    rows.loc[rows["pin_memory"] & (rows["arm"] == "end_to_end"), "images_per_s"] *= 1.5
    found = loaders_verdict(rows, noise=0.02)
    assert found.call == "DataLoader(dataset, batch_size=4, num_workers=1, pin_memory=True)"
    assert len(found.configurations) == 10


def test_nothing_completed():
    rows = simulated_rows(CASES["compute-bound"]).assign(status="failed", error="ValueError: no")
    found = loaders_verdict(rows)
    assert found.recommended is None
    assert found.call == ""
    assert "nothing to recommend" in found.text
    assert "5 configurations failed (for example no workers, batches of 4: ValueError: no)." in found.text


def test_no_rows_at_all():
    assert loaders_verdict(pd.DataFrame()).recommended is None


def test_one_repeat_has_no_interval_and_claims_none():
    rows = simulated_rows(CASES["loader-bound"])
    found = loaders_verdict(rows[rows["block"] == 0])
    assert found.configurations["low"].isna().all()
    assert "one repeat, no interval" in found.text
    assert found.gain.low is None


def test_a_verdict_is_plain_json():
    found = verdict_of(CASES["memory-bound"])
    document = to_json_safe({"rows": found.configurations, "recommended": found.recommended, "gain": found.gain})
    assert document["recommended"]["num_workers"] == 2
    assert document["rows"][-1]["images_per_s"] is None


def test_the_interval_holds_the_median_and_grows_with_the_spread():
    narrow, wide = throughput_interval(np.array([99.0, 100, 101, 100, 102])), throughput_interval(
        np.array([80.0, 100, 120, 90, 110])
    )  # fmt: skip
    for middle, low, high in (narrow, wide):
        assert low <= middle <= high
    assert wide[2] - wide[1] > 5 * (narrow[2] - narrow[1])
    assert all(math.isnan(each) for each in throughput_interval(np.array([])))


def test_a_skewed_sample_still_holds_its_median():
    middle, low, high = throughput_interval(np.array([1.0, 1, 1, 1, 100]))
    assert low <= middle == 1 <= high


def row(workers, speed, *, half_width=1.0, **more):
    whole = {"status": "complete", "num_workers": workers, "images_per_s": speed, "batch_size": 8, "pin_memory": False}
    whole |= {"prefetch_factor": None, "persistent_workers": False, "start_method": None, "cv2_threads": 1}
    whole |= {"low": speed - half_width, "high": speed + half_width, "usual_memory_bytes": 1e8 * (1 + workers)}
    whole |= {
        "loader_images_per_s": 2 * speed,
        "compute_images_per_s": speed,
        "data_wait_share": 0.0,
        "key": str(workers),
    }
    return whole | more


def test_alike_by_interval_by_noise_and_not_by_a_want_of_repeats():
    assert alike(row(0, 99.5), row(1, 100.5))
    assert not alike(row(0, 90), row(1, 100))
    assert alike(row(0, 90), row(1, 100), noise=0.15)
    assert alike(row(0, 60, half_width=90), row(1, 100, half_width=90)), "overlapping intervals tell nothing apart"
    nothing = {"low": math.nan, "high": math.nan}
    assert alike(row(0, 96) | nothing, row(1, 100) | nothing)
    assert not alike(row(0, 94) | nothing, row(1, 100) | nothing)


def test_the_cheapest_is_by_workers_then_pinning_then_memory():
    pinned = row(2, 99.2, usual_memory_bytes=1e8, pin_memory=True)
    rows = [row(4, 100), row(2, 99), row(0, 50), pinned, row(2, 98.9, usual_memory_bytes=2e8)]
    found = cheapest_of_the_best(pd.DataFrame(rows))
    assert (found["num_workers"], found["pin_memory"], found["usual_memory_bytes"]) == (2, False, 2e8)


def test_knee_and_flip_of_a_curve():
    frame = pd.DataFrame(
        [
            row(0, 30, data_wait_share=0.7),
            row(1, 60, data_wait_share=0.3),
            row(2, 98, data_wait_share=0.05, loader_images_per_s=130),
            row(4, 98.5),
            row(8, 98.7),
            row(4, 70, prefetch_factor=8),
            row(4, 70, batch_size=16),
        ]
    )
    curve = worker_curve(add_bottlenecks(frame), row(4, 98.5))
    assert curve["num_workers"].tolist() == [0, 1, 2, 4, 8]
    assert (knee(curve), flips_at(curve)) == (2, 2)
    assert flips_at(curve[curve["num_workers"] < 2]) is None
    assert worker_curve(add_bottlenecks(frame), row(4, 0, prefetch_factor=8))["num_workers"].tolist() == [0, 4]


def test_the_gap_is_to_the_smaller_of_both_arms():
    frame = add_bottlenecks(pd.DataFrame([row(2, 80, loader_images_per_s=200.0, compute_images_per_s=100.0)]))
    assert frame.loc[0, "limit_images_per_s"] == 100
    assert frame.loc[0, "gap"] == pytest.approx(0.2)


def test_gain_is_paired_by_block():
    """Every other block is at half speed: the ratio is the same in each."""
    rows = simulated_rows(CASES["flips"])
    rows.loc[rows["block"] % 2 == 1, "images_per_s"] /= 2
    frame = summarize_configurations(rows)
    fast, slow = (frame[frame["num_workers"] == workers].iloc[0] for workers in (4, 0))
    found = gain(rows, fast, slow)
    assert found.ratio == pytest.approx(2.6, abs=0.1)
    assert found.high - found.low < 0.3
    assert found.n == 5


def test_a_call_names_only_what_differs_from_the_defaults():
    frame = pd.DataFrame([row(0, 1), row(3, 1, prefetch_factor=4, persistent_workers=True, start_method="spawn")])
    assert dataloader_call(frame.iloc[0]) == "DataLoader(dataset, batch_size=8)"
    assert dataloader_call(frame.iloc[1]) == (
        "DataLoader(dataset, batch_size=8, num_workers=3, prefetch_factor=4, persistent_workers=True, "
        "multiprocessing_context='spawn')"
    )


def around(changes, *, blocks=5, jitter=0.01, case="compute-bound", seed=1):
    """A case's grid, and around its best (1 worker) variants: (changed settings, how many times as fast)."""
    rows = simulated_rows(CASES[case]).assign(phase="grid", epoch_gap_s=0.5)
    rng = np.random.default_rng(seed)
    best = rows[(rows["num_workers"] == 1) & (rows["arm"] == "end_to_end")]
    default = rows[(rows["num_workers"] == 0) & (rows["arm"] == "end_to_end")]
    found = [rows]
    for settings, factor in [({}, 1.0), *changes]:
        speed = factor * best["images_per_s"].median() * (1 + jitter * rng.standard_normal(len(best)))
        found.append(best.assign(**{"images_per_s": speed, "epoch_gap_s": 0.5} | settings))
    found.append(default)
    later = pd.concat(found[1:], ignore_index=True).assign(phase="around")
    later["block"] += later["block"].max() + 1
    later = later[later["block"] < later["block"].min() + blocks]
    return pd.concat([rows, later], ignore_index=True)


NOTHING_GAINED = [
    ({"prefetch_factor": 4}, 1.0),
    ({"persistent_workers": True, "epoch_gap_s": 0.02}, 1.0),
    ({"start_method": "spawn"}, 1.0),
    ({"cv2_threads": 0}, 1.0),
]


@pytest.mark.parametrize("seed", range(3))
def test_variants_that_change_nothing_are_not_recommended(seed):
    rows = around(NOTHING_GAINED, seed=seed)
    rows["peak_memory_bytes"] *= 1 + 0.01 * np.random.default_rng(seed).standard_normal(len(rows))
    found = loaders_verdict(rows, noise=0.02)
    assert found.call == "DataLoader(dataset, batch_size=4, num_workers=1)"
    assert (
        "Also tried, without a reliable gain: prefetch_factor=4, persistent_workers=True, start_method=spawn, "
        "cv2_threads=0." in found.sentences
    )
    assert "persistent_workers=True shortens the border of two epochs from 0.5 to 0.02 s." in found.sentences


def test_a_variant_that_is_really_faster_is_taken_and_its_gain_over_the_defaults_has_an_interval():
    found = loaders_verdict(around([({"prefetch_factor": 4}, 1.3), *NOTHING_GAINED[1:]]), noise=0.02)
    assert found.call == "DataLoader(dataset, batch_size=4, num_workers=1, prefetch_factor=4)"
    assert "With prefetch_factor=4 it is 1.3" in found.text
    assert found.gain.n == 5
    assert found.gain.ratio == pytest.approx(1.2 * 1.3, rel=0.05)
    assert 1.4 < found.gain.low < found.gain.ratio < found.gain.high < 1.7
    assert "Expected: 1." in found.text
    assert (found.knee, found.flips_at) == (1, 1), "the curve is the grid's"


def test_a_gain_inside_the_noise_or_of_one_block_is_none():
    small = [({"prefetch_factor": 4}, 1.1)]
    assert loaders_verdict(around(small), noise=0.05).recommended["prefetch_factor"] == 4
    assert loaders_verdict(around(small), noise=0.2).recommended["prefetch_factor"] is None
    assert loaders_verdict(around(small, blocks=1), noise=0.05).recommended["prefetch_factor"] is None


def test_threads_that_are_worth_it_are_named_since_no_argument_of_the_loader_says_them():
    found = loaders_verdict(around([({"cv2_threads": 0}, 1.5)]), noise=0.02)
    assert found.recommended["cv2_threads"] == 0
    assert "It needs cv2.setNumThreads(0) in every process that makes samples." in found.text
    slower = loaders_verdict(around([({"cv2_threads": 0}, 0.8)]), noise=0.02)
    assert "cv2.setNumThreads" not in slower.text
    assert slower.gain.ratio == pytest.approx(1.2, abs=0.05)


def test_the_usual_threads_are_those_of_a_configuration():
    assert configuration().cv2_threads == USUAL_CV2_THREADS


def test_with_few_repeats_the_spread_is_taken_from_all_configurations():
    """Two repeats' own interval would be 13 standard errors wide: 0 and 8 workers could not be told apart."""
    rows = simulated_rows(CASES["loader-bound"])
    found = loaders_verdict(rows[rows["block"] < 2], noise=0.02)
    assert found.recommended["num_workers"] == 8
    frame = found.configurations
    assert ((frame["high"] - frame["low"]) / frame["images_per_s"]).max() < 0.1


def test_the_step_alone_is_no_configuration():
    rows = simulated_rows(CASES["loader-bound"])
    found = loaders_verdict(rows[rows["arm"] == "compute"])
    assert found.recommended is None
    assert len(found.configurations) == 0


def test_pinning_that_was_asked_for_and_could_do_nothing_is_told():
    rows = simulated_rows(CASES["compute-bound"])
    assert NOT_PINNED in loaders_verdict(rows, pinning_idle=NOT_PINNED).sentences


def test_without_a_step_nothing_is_said_of_training():
    rows = simulated_rows(CASES["loader-bound"])
    found = loaders_verdict(rows[rows["arm"] == "end_to_end"], has_step=False)
    assert "No step was given" in found.text
    assert "Training" not in found.text
    assert found.bottleneck == "loader-bound"


def test_different_batches_leave_nothing_to_recommend():
    found = loaders_verdict(simulated_rows(CASES["loader-bound"]), different=["a delivered another batch 0 than b."])
    assert (found.recommended, found.call) == (None, "")
    assert "nothing can be compared. a delivered another batch" in found.text
