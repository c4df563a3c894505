"""What a configuration is predicted to need, against what it takes."""

import numpy as np
import pytest

from bench.measure.limits import Limits, limits
from bench.measure.loader.configuration import configuration
from bench.measure.loader.measurement import Arm
from bench.measure.loader.measuring_process import MeasuringProcess
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.prediction import Need, predict, shortfall
from bench.measure.loader.probe import Probe, probe
from bench.measure.loader.workload import DatasetWorkload
from tests.support.simulated_loader import SleepingData, SleepingStep
from tests.support.troubled_data import HoldingStep, Large, Troubled

SAMPLE = 1_000_000
FOUND = Probe(sample_bytes=SAMPLE, process_bytes=200_000_000, worker_bytes=20_000_000)


@pytest.mark.parametrize(
    ("settings", "waiting"),
    [
        ({"num_workers": 4}, 10),
        ({"num_workers": 4, "prefetch_factor": 8}, 34),
        ({"num_workers": 1, "prefetch_factor": 1}, 3),
        ({"num_workers": 0}, 0),
    ],
)
def test_shared_memory_holds_all_batches_on_their_way_and_those_in_hand(settings, waiting):
    assert predict(FOUND, configuration(batch_size=8, **settings)).shm_bytes == waiting * 8 * SAMPLE


def test_memory_grows_with_workers_batches_and_pinned_copies():
    def memory(**settings):
        return predict(FOUND, configuration(batch_size=8, **settings)).memory_bytes

    assert memory() == 200_000_000 + 4 * 8 * SAMPLE
    assert memory(pin_memory=True) == 200_000_000 + 6 * 8 * SAMPLE
    assert memory(num_workers=2) == 200_000_000 + 2 * (20_000_000 + 8 * SAMPLE) + 6 * 8 * SAMPLE
    assert memory(num_workers=2, pin_memory=True) == memory(num_workers=2) + 6 * 8 * SAMPLE


def test_what_cannot_fit_is_said_with_both_numbers():
    small = Limits(2.0, 8_000_000_000, 4_000_000_000, 1_000_000_000, 1_000_000_000)
    assert shortfall(Need(3_100_000_000, 0), small) == "would need 3.1 GB of /dev/shm, 1.0 GB free"
    assert shortfall(Need(0, 5_000_000_000), small) == "would need 5.0 GB of memory, 4.0 GB free"
    assert shortfall(Need(72_000_000, 0), Limits(2.0, 8, 8, 52_000_000, 52_000_000)) == (
        "would need 72 MB of /dev/shm, 52 MB free"
    )
    assert shortfall(Need(500_000_000, 2_000_000_000), small) == ""
    assert shortfall(Need(95_000_000, 0), Limits(2.0, 8, 8, None, None)) == ""  # no /dev/shm to run out of
    assert shortfall(Need(950_000_000, 0), small) == (
        "would need 950 MB of /dev/shm, 1.0 GB free (10 % of it is reserved for other programs)"
    )
    assert shortfall(Need(0, 4_000_000_000), small) == (
        "would need 4.0 GB of memory, 4.0 GB free (10 % of it is reserved for other programs)"
    )
    assert shortfall(Need(900_000_000, 3_600_000_000), small) == "", "just what may be used"


def test_what_the_step_holds_is_the_process_s_and_grows_with_the_batch():
    held = 40_000_000
    found = probe(DatasetWorkload(Large(10), HoldingStep(held))).value
    assert found.worker_bytes < held
    assert found.step_sample_bytes == pytest.approx(held, rel=0.3)
    few, many = (
        predict(found, configuration(batch_size=2, num_workers=workers)).memory_bytes for workers in (1, 9)
    )  # fmt: skip
    assert many - few == pytest.approx(8 * found.worker_bytes, abs=1000)
    large = predict(found, configuration(batch_size=12)).memory_bytes
    assert large - predict(found, configuration(batch_size=2)).memory_bytes == pytest.approx(10 * held, rel=0.3)


def test_the_time_of_a_step_is_told_apart_from_that_of_its_samples():
    costs = np.full(64, 0.002)
    found = probe(DatasetWorkload(SleepingData(costs), SleepingStep(0.05, sample_seconds=0.02))).value
    assert found.sample_s == pytest.approx(0.002, rel=1.0)
    assert found.step_sample_s == pytest.approx(0.02, rel=0.3)
    assert found.step_fixed_s == pytest.approx(0.05, rel=0.4)


def test_a_worker_that_cannot_make_samples_leaves_the_probe_without_it():
    """The process itself can: what it measures without workers is worth having."""
    found = probe(DatasetWorkload(Troubled("in worker")))
    assert found.status == MeasurementStatus.COMPLETE
    assert "was killed (SIGKILL)" in found.value.worker_error
    assert found.value.worker_bytes == 0


@pytest.mark.long
def test_a_real_run_takes_what_was_predicted(shared_memory_alone):
    """A step slower than the loader: all batches that may be on their way are made, and wait in /dev/shm."""
    workload = DatasetWorkload(Large(SAMPLE), SleepingStep(0.1))
    chosen = configuration(batch_size=16, num_workers=2, prefetch_factor=2)
    found = probe(workload)
    assert found.error == found.value.worker_error == ""
    assert found.value.sample_bytes == SAMPLE
    need = predict(found.value, chosen)
    assert shortfall(need, limits()) == ""
    with MeasuringProcess(workload, chosen) as living:
        living.start()
        living.started()
        living.slice(Arm.END_TO_END, 2.0)
        real = living.resources()
    assert real["shm_tree_peak_bytes"] < 1.25 * need.shm_bytes
    assert real["shm_peak_bytes"] > 0.75 * need.shm_bytes, "others may have put something there, too"
    held = real["peak_memory_bytes"] - real["shm_tree_peak_bytes"] + min(real["shm_peak_bytes"], 1.25 * need.shm_bytes)
    assert held == pytest.approx(need.memory_bytes, rel=0.3)
