"""Streams and loaders of one's own in living processes."""

import pytest

from bench.measure.loader.configuration import configuration
from bench.measure.loader.measurement import Arm
from bench.measure.loader.measuring_process import Fault, MeasuringProcess
from bench.measure.loader.own_loader import OwnLoaderWorkload
from bench.measure.loader.user_code import DottedLoader
from bench.measure.loader.workload import DatasetWorkload, WaitingStep
from tests.support import own_datasets as own

OWN = "tests.support.own_datasets"


@pytest.mark.parametrize("settings", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}])
def test_a_stream_lives_in_all_arms_and_is_not_compared(settings):
    workload = DatasetWorkload(own.Sharded, step=WaitingStep(0.001))
    with MeasuringProcess(workload, configuration(batch_size=4, **settings), hashed_batches=8) as living:
        living.start()
        started = living.started()
        assert started.hashes == ()
        assert started.epoch_gap_s > 0
        found = [living.slice(arm, 0.1) for arm in Arm]
    assert all(each.batches > 0 and each.images == 4 * each.batches for each in found)


def test_a_stream_that_a_worker_has_no_part_of_is_a_fault():
    with MeasuringProcess(DatasetWorkload(own.OneShard), configuration(num_workers=2)) as living:
        living.start()
        with pytest.raises(Fault, match="--dataset OneShard: worker 1 of 2 has no samples: the stream has fewer parts"):
            living.started()


@pytest.mark.parametrize(("name", "images"), [("batches_of", 4), ("generated", 4), ("told_nothing", 3)])
def test_a_loader_of_one_s_own_lives_in_all_arms(name, images):
    workload = OwnLoaderWorkload(DatasetWorkload(own.Sound, step=WaitingStep(0.001)), DottedLoader(f"{OWN}:{name}"))
    with MeasuringProcess(workload, configuration(batch_size=4, num_workers=2), hashed_batches=8) as living:
        living.start()
        assert living.started().hashes == ()
        found = [living.slice(arm, 0.1) for arm in Arm]
    assert all(each.images == images * each.batches > 0 for each in found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("yields_nothing", "yields no batches. Let it return an iterable of batches."),
        ("returns_number", "must return an iterable of batches, got int."),
    ],
)
def test_what_is_no_loader_is_a_fault(name, text):
    with MeasuringProcess(
        OwnLoaderWorkload(DatasetWorkload(own.Sound), DottedLoader(f"{OWN}:{name}")), configuration()
    ) as living:
        living.start()
        with pytest.raises(Fault) as caught:
            living.started()
    assert text in caught.value.error
    assert f"--loader {OWN}:{name}" in caught.value.error
