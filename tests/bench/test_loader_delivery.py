"""Every setting delivers the same batches, and a data set whose batches differ is found."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.loaders_delivery import different_deliveries
from bench.measure.loader import isolated
from bench.measure.loader.configuration import configuration
from bench.measure.loader.delivered import batch_bytes, batch_hash
from bench.measure.loader.loop import LoopPlan
from bench.measure.loader.measurement import Arm, measure
from bench.measure.loader.workload import DatasetWorkload, Spread
from tests.support.forking_process import forked_starts
from tests.support.troubled_data import Random


@pytest.fixture
def forked():
    """Measuring processes are forked: what is tested is not their start."""
    with forked_starts(isolated):
        yield


def quick(dataset, *, batches=16, **settings):
    chosen = configuration(batch_size=4, **settings)
    return measure(DatasetWorkload(dataset), chosen, Arm.LOADER, LoopPlan(epochs=1), batches=batches)


def test_every_setting_delivers_the_same_batches_also_where_samples_are_drawn_at_random(forked):
    found = {
        "none": quick(Random()),
        "two": quick(Random(), num_workers=2),
        "persistent": quick(Random(), num_workers=3, persistent_workers=True, prefetch_factor=1, batches=21),
        "spawned": quick(Random(), num_workers=1, start_method="spawn", persistent_workers=True),
    }
    assert {name: each.error for name, each in found.items() if each.error} == {}
    delivered = {name: (4, each.hashes) for name, each in found.items()}
    assert all(len(each.hashes) == 16 for each in found.values())
    assert different_deliveries(delivered) == []


def test_samples_that_depend_on_the_process_are_found(forked):
    found = {name: (4, quick(Random(honest=False), num_workers=name).hashes) for name in (0, 2)}
    assert different_deliveries({str(name): each for name, each in found.items()}) == [
        "2 delivered another batch 0 than 0: samples depend on the process that makes them, or on the time. Derive "
        "their randomness from the index."
    ]


def test_a_loop_that_was_cut_short_in_the_middle_of_an_epoch_delivers_the_same(forked):
    """Its workers are still at work on batches that nobody wants any more."""
    chosen = configuration(batch_size=4, num_workers=2, persistent_workers=True)
    cut = measure(DatasetWorkload(Random()), chosen, Arm.LOADER, LoopPlan(seconds=0.0), batches=500)
    assert cut.metrics["batches"] == 1
    assert cut.error == ""
    assert cut.hashes[:6] == quick(Random()).hashes[:6]


def test_what_was_not_hashed_is_not_compared():
    assert different_deliveries({"a": (4, (1, 2)), "b": (4, ()), "c": (8, (7,)), "d": (4, (1, 2, 3))}) == []


BATCH = {"pixels": torch.arange(24.0).reshape(2, 3, 4), "boxes": [np.arange(6)], "names": ("a", "b"), "id": 7}


@pytest.mark.parametrize(
    "change",
    [
        {"pixels": BATCH["pixels"] + torch.eye(4)[0] * 1e-3},
        {"pixels": BATCH["pixels"].reshape(3, 2, 4)},
        {"pixels": BATCH["pixels"].double()},
        {"boxes": [np.arange(6)[::-1]]},
        {"names": ("b", "a")},
        {"id": 8},
    ],
)
def test_a_hash_sees_every_change(change):
    assert batch_hash(BATCH | change) != batch_hash(BATCH)


def test_a_hash_does_not_see_how_memory_is_laid_out():
    pixels = torch.arange(96.0).reshape(2, 3, 4, 4)
    assert batch_hash(pixels.contiguous(memory_format=torch.channels_last)) == batch_hash(pixels)


def test_bytes_of_a_batch_are_those_of_its_tensors():
    assert batch_bytes(BATCH) == 24 * 4 + 6 * BATCH["boxes"][0].itemsize
    assert batch_bytes(torch.ones(3, dtype=torch.bfloat16)) == 6


@given(st.integers(1, 500), st.integers(1, 300), st.integers(0, 3))
def test_an_epoch_is_spread_over_the_data_set_and_begins_alike_whatever_its_length(size, length, epoch):
    data = range(size)
    found = [Spread(data, length).position(epoch, number) for number in range(length)]
    longer = Spread(data, length + 7)
    assert found == [longer.position(epoch, number) for number in range(length)]
    assert len(set(found)) == length  # no (pass, position) twice, and none outside
    assert all(0 <= position < size for _, position in found)
    if length >= 2 * size:
        assert {position for _, position in found} == set(data)
