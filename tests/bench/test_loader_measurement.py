"""Measurements in processes of their own: figures, and a status for whatever goes wrong."""

import pytest
import torch

from bench.measure.loader import isolated
from bench.measure.loader.configuration import configuration
from bench.measure.loader.loop import LoopPlan
from bench.measure.loader.measurement import Arm, measure, skipped
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.transfers import measure_transfers
from bench.measure.loader.workload import DatasetWorkload
from posemodel.errors import SettingsError
from tests.support.forking_process import forked_starts
from tests.support.simulated_loader import sample_costs, sleeping
from tests.support.troubled_data import Troubled

SHORT = LoopPlan(epochs=2)
STALL_S = 2.0
"""Of a worker that hangs: starting it, and all batches before, may take so long, or the end is the same."""


@pytest.fixture
def forked():
    """Measuring processes are forked: what is tested is not their start."""
    with forked_starts(isolated):
        yield


def quick(dataset, arm=Arm.LOADER, *, batches=16, stall_s=60.0, **settings):
    chosen = configuration(batch_size=4, **settings)
    return measure(DatasetWorkload(dataset), chosen, arm, SHORT, batches=batches, stall_s=stall_s)


@pytest.mark.parametrize(
    ("trouble", "status", "words"),
    [
        ("raise", MeasurementStatus.FAILED, "ValueError: sample 24 is broken"),
        ("hang", MeasurementStatus.TIMED_OUT, "no batch for 2 s (stall_s)"),
        ("SIGKILL", MeasurementStatus.OUT_OF_MEMORY, "a worker was killed (SIGKILL)"),
        ("SIGBUS", MeasurementStatus.BUS_ERROR, "/dev/shm is full"),
        ("memory", MeasurementStatus.OUT_OF_MEMORY, "MemoryError: no more of it"),
    ],
)
def test_trouble_in_a_worker_is_a_row_with_its_status(trouble, status, words, forked):
    found = quick(Troubled(trouble), num_workers=2, stall_s=STALL_S if trouble == "hang" else 60.0)
    assert found.status == status
    assert words in found.error
    assert "images_per_s" not in found.as_row()
    assert found.as_row()["status"] == str(status)


def test_a_row_is_flat_and_has_what_was_measured():
    """In a spawned process, as a study's are: its memory is its own."""
    row = quick(Troubled(), Arm.END_TO_END, num_workers=1, prefetch_factor=3).as_row()
    assert row["error"] == ""
    assert (row["arm"], row["num_workers"], row["prefetch_factor"], row["batch_size"]) == ("end_to_end", 1, 3, 4)
    assert row["batches"] == 32
    for name in ("images_per_s", "first_batch_s", "epoch_gap_s", "cores_used", "peak_memory_bytes", "au"):
        assert row[name] > 0, name
    assert row["memory_kind"] == "pss"
    assert row["effective_pin_memory"] is False
    assert not [name for name, value in row.items() if isinstance(value, (list, tuple, dict))]


def test_the_arm_compute_loads_one_batch_and_has_no_hashes(forked):
    found = quick(Troubled("raise"), Arm.COMPUTE, num_workers=2)  # sample 24 is in a later batch
    assert found.status == MeasurementStatus.COMPLETE
    assert found.hashes == ()
    assert found.metrics["data_wait_share"] < 0.5


def test_a_loop_that_takes_too_long_ends_in_time(forked):
    found = measure(
        sleeping(sample_costs(0.02), 0.0), configuration(batch_size=4), Arm.LOADER, LoopPlan(seconds=0.5), batches=1000
    )
    assert 1 <= found.metrics["batches"] <= 100


def test_a_skipped_configuration_is_a_row_too():
    row = skipped(configuration(), Arm.LOADER, "would need 3.1 GB of /dev/shm, 1.0 GB free").as_row()
    assert (row["status"], row["error"]) == ("skipped", "would need 3.1 GB of /dev/shm, 1.0 GB free")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prefetch_factor": 2}, "prefetch_factor needs num_workers of at least 1"),
        ({"persistent_workers": True}, "persistent_workers needs num_workers of at least 1"),
        ({"start_method": "spawn"}, "start_method needs num_workers of at least 1"),
        ({"batch_size": 0}, "batch_size"),
        ({"num_wokers": 2}, "num_wokers"),
        ({"num_workers": 1, "start_method": "teleport"}, "start_method"),
    ],
)
def test_combinations_that_cannot_work_are_refused(settings, words):
    with pytest.raises(SettingsError, match=words):
        configuration(**settings)


def test_copies_to_a_gpu_are_measured_where_there_is_one():
    found = measure_transfers(lambda _: None, 1 << 20)
    if not torch.cuda.is_available():
        assert found is None
        return
    assert found.pinned_gb_per_s > 0
    assert found.pageable_gb_per_s > 0
    assert 0 <= found.hidden_share <= 1
