"""Every setting delivers the same batches, and a data set whose batches differ is found."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.kinds.loaders.analysis.delivery import (
    CAUSES,
    different_deliveries,
    different_sentences,
    mark_different,
)
from bench.measure.loader.batch_contents import batch_bytes, batch_hash
from bench.measure.loader.configuration import configuration
from bench.measure.loader.measuring_process import MeasuringProcess
from bench.measure.loader.samples import Spread
from bench.measure.loader.workload import DatasetWorkload
from bench.report.text import plain
from tests.support.troubled_data import Random


def delivered_by(dataset, **settings):
    """Hashes of the first batches that a process with these settings delivers."""
    with MeasuringProcess(
        DatasetWorkload(dataset), configuration(batch_size=4, **settings), hashed_batches=16
    ) as living:
        living.start()
        return living.started().hashes


def test_every_setting_delivers_the_same_batches_also_where_samples_are_drawn_at_random():
    found = {
        "none": delivered_by(Random()),
        "two": delivered_by(Random(), num_workers=2),
        "persistent": delivered_by(Random(), num_workers=3, persistent_workers=True, prefetch_factor=1),
        "spawned": delivered_by(Random(), num_workers=1, start_method="spawn", persistent_workers=True),
    }
    assert len(found["none"]) == len(set(found["none"])) == 16
    assert all(each == found["none"] for each in found.values()), found


def test_samples_that_depend_on_the_process_are_found():
    assert delivered_by(Random(honest=False))[0] != delivered_by(Random(honest=False), num_workers=2)[0]


def delivered(workers, hashes=(), *, batch_size=4, status="complete", **metrics):
    settings = configuration(batch_size=batch_size, num_workers=workers).model_dump()
    return {**settings, "status": status, "error": "", "hashes": list(hashes), **metrics}


def test_what_was_not_hashed_is_not_compared():
    rows = [delivered(0, (1, 2)), delivered(1), delivered(1, (7,), batch_size=8), delivered(2, (1, 2, 3))]
    assert different_deliveries(pd.DataFrame(rows)) == {}
    assert different_deliveries(pd.DataFrame()) == {}


def test_the_fewest_workers_are_what_others_are_compared_with_whatever_was_measured_first():
    alike = [delivered(0, (1, 2)), delivered(2, (1, 2))]
    rows = pd.DataFrame([delivered(4, (9, 2)), *alike, delivered(0, (9,), status="failed")])
    assert list(mark_different(rows)["status"]) == ["failed", "complete", "complete", "failed"]
    assert mark_different(rows)["error"][0].startswith(
        "delivered a different batch 0 than 0 workers did. Two causes are likely."
    )
    assert list(rows["status"]) == ["complete", "complete", "complete", "failed"], "the rows themselves stay"


def test_a_configuration_that_delivered_other_samples_once_counts_nowhere():
    """In all of its blocks."""
    seen = {"compared_samples": 256.0, "different_samples": 3.0, "first_different_sample": 37.0}
    rows = pd.DataFrame(
        [
            delivered(0, (1, 2)),
            delivered(2, (1, 2)),
            delivered(2, (1, 2), **seen),
            delivered(2),
            delivered(4, (1, 2), compared_samples=1000.0, different_samples=0.0),
        ]
    )
    found = mark_different(rows)
    assert list(found["status"]) == ["complete", "failed", "failed", "failed", "complete"]
    assert (
        found["error"][1] == f"made 3 of 256 samples differently from a single process (the first: sample 37). {CAUSES}"
    )


def test_two_workers_that_were_compared_with_one_process_are_no_measure_for_others():
    """Without a configuration of 0 workers, the first batches of a mixed-up one are no reference."""
    seen = {"compared_samples": 256.0, "different_samples": 3.0, "first_different_sample": 37.0}
    rows = pd.DataFrame(
        [delivered(2, (8, 9), **seen), delivered(4, (1, 2), compared_samples=9.0, different_samples=0.0)]
    )
    assert list(mark_different(rows)["status"]) == ["failed", "complete"]


def test_both_causes_and_the_configurations_are_said():
    (sentence,) = map(
        plain,
        different_sentences(["2 workers", "4 workers"], [f"made 3 otherwise. {CAUSES}", f"made 5. {CAUSES}"]),
    )
    assert sentence.startswith(
        "2 configurations delivered different samples, and cannot be recommended: 2 workers made 3 "
    )
    assert "otherwise; 4 workers made 5. Two causes are likely." in sentence
    for words in ("before its workers were forked", "open it in __getitem__", "--worker-init", "--random-samples"):
        assert words in sentence
    assert different_sentences([], []) == []
    assert "; and 2 more. Two" in different_sentences(["x"] * 6, [f"made 1. {CAUSES}"] * 6)[0]


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


def test_objects_without_attributes_are_told_apart_by_what_they_show():
    assert batch_hash([Decimal(1)]) != batch_hash([Decimal(2)])
    assert batch_hash([torch.device("cpu")]) != batch_hash([torch.device("meta")])
    assert batch_hash([object()]) == batch_hash([object()]), "without the address"


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
