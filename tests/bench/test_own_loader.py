"""Loaders of one's own: what they are told, how they are iterated, what is wrong with one."""

import numpy as np
import pytest
import torch

from bench.measure.loader.batch_contents import batch_images
from bench.measure.loader.configuration import configuration
from bench.measure.loader.outcome import error_outcome
from bench.measure.loader.own_loader import OwnLoaderWorkload
from bench.measure.loader.pose_workload import PoseWorkload
from bench.measure.loader.user_code import DottedLoader
from bench.measure.loader.workload import DatasetWorkload
from posemodel.data.batch import Batch
from posemodel.errors import SettingsError
from tests.support import own_datasets as own

OWN = "tests.support.own_datasets"


def workload(name, other=None):
    return OwnLoaderWorkload(other or DatasetWorkload(own.Sound), DottedLoader(f"{OWN}:{name}"))


def opened(name, *, other=None, **settings):
    return workload(name, other).open_loader(configuration(**settings), 3)


@pytest.mark.parametrize("name", ["batches_of", "generated"])
def test_a_loader_is_iterated_again_and_a_generator_made_anew(name):
    found = opened(name, batch_size=2)
    for _ in range(3):
        batches = list(found.loader)
        assert [int(batch.flatten()[0]) for batch in batches] == [*range(5)]
        assert len(batches[0]) == 2


def test_a_generator_goes_on_where_it_was_left():
    found = opened("generated", batch_size=2)
    assert next(iter(found.loader)).tolist() == [0, 0]
    assert next(iter(found.loader)).tolist() == [1, 1]


def test_a_loader_is_told_what_it_takes():
    settings = {"batch_size": 3, "num_workers": 2}
    assert list(opened("told_all", **settings).loader) == [settings | {"pin_memory": False}]
    assert len(list(opened("told_nothing", **settings).loader)) == 1


def test_images_are_counted_by_what_a_batch_holds():
    found = opened("told_nothing", batch_size=8)
    assert [found.count_images(batch) for batch in found.loader] == [3]
    assert found.count_images("a text") == 8
    assert (found.comparable, found.reads_on, found.batches_in_flight) == (False, True, 0)


@pytest.mark.parametrize(
    ("batch", "images"),
    [
        (torch.zeros(5, 2), 5),
        ({"id": 7, "scale": torch.tensor(2.0), "pixels": np.zeros((4, 3))}, 4),
        ([("a", "b"), torch.zeros(2)], 2),
        ("nothing of that kind", 16),
        (torch.zeros(0, 3), 0),
    ],
)
def test_images_of_a_batch(batch, images):
    assert batch_images(batch, 16) == images


def test_what_a_loader_reads_ahead_is_known_of_pytorch_s_and_of_one_that_says_it():
    assert opened("from_torch", batch_size=4, num_workers=3).batches_in_flight == 6
    assert opened("from_torch", batch_size=4, num_workers=0).batches_in_flight == 0
    assert opened("ReadsAhead").batches_in_flight == 5


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "needs_more",
            "missing a required argument: 'root'. It is needs_more(root: str, batch_size: int) -> Any, and is called "
            "with batch_size=, num_workers=, pin_memory= (those that it accepts); name a function that needs no "
            f"other arguments: `def loader(batch_size): return needs_more(...)` in {OWN}.",
        ),
        ("LENGTH", "is a int; it must name a function that returns an iterable of batches."),
        ("returns_number", "must return an iterable of batches, got int."),
        ("cannot_be_made", "making it failed with RuntimeError: no decoder. It must return an iterable of batches."),
    ],
)
def test_what_is_no_loader_is_told_with_its_option(name, text):
    with pytest.raises(SettingsError) as caught:
        opened(name)
    assert str(caught.value) == f"--loader {OWN}:{name}: {text}"


def test_a_path_that_leads_nowhere_is_told_before_anything_is_called():
    with pytest.raises(
        SettingsError, match=r"--loader no_such:loader: No module named 'no_such'\. It must name a func"
    ):
        DottedLoader("no_such:loader").function()
    assert DottedLoader(f"{OWN}:cannot_be_made").function() is own.cannot_be_made


def test_a_loader_without_batches_is_told():
    with pytest.raises(Exception, match="yields no batches") as caught:
        list(opened("yields_nothing").loader)
    assert error_outcome(caught.value)[1] == (
        f"--loader {OWN}:yields_nothing: yields no batches. Let it return an iterable of batches."
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_loader_names_option_and_batch(workers):
    batches = iter(opened("from_torch", batch_size=4, num_workers=workers).loader)
    with pytest.raises(Exception) as caught:
        list(batches)
    assert error_outcome(caught.value)[1] == (
        f"--loader {OWN}:from_torch, batch 2: iterating raised ValueError: bad picture. Fix what it reads."
    )


def test_a_step_that_does_not_take_the_batches_names_the_loader():
    def step():
        return lambda batch: batch["images"]

    step = workload("batches_of", DatasetWorkload(own.Sound, step=step)).make_step()
    with pytest.raises(Exception) as caught:
        step(7)
    assert error_outcome(caught.value)[1] == (
        f"--loader {OWN}:batches_of: the step raised TypeError: 'int' object is not subscriptable on what the loader "
        "yields: int. Yield what the step takes."
    )


def test_the_coco_folder_s_step_gets_its_own_batches(tiny):
    pose = PoseWorkload(tiny, "small", size=64)
    with pytest.raises(Exception) as caught:
        list(opened("batches_of", other=pose, batch_size=2).loader)
    assert error_outcome(caught.value)[1] == (
        f"--loader {OWN}:batches_of: yields tensor (2, 2); the COCO folder's step trains on "
        f"{Batch.__module__}.Batch. Yield such batches, give --step-ms in place of that step, or a data set and a step "
        "of your own (--dataset, --step)."
    )
    waiting = PoseWorkload(tiny, "small", size=64, step_s=0.001)
    assert len(list(opened("batches_of", other=waiting, batch_size=2).loader)) == 5
