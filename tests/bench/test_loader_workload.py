"""Workloads: any map-style data set by dotted path, and the pose network's own loading and step."""

import random
import sys
from itertools import islice

import cv2
import numpy as np
import pytest
import torch

from bench.measure.loader import workload
from bench.measure.loader.batch_contents import batch_hash
from bench.measure.loader.configuration import configuration
from bench.measure.loader.pose_workload import PoseWorkload
from bench.measure.loader.samples import Seeded, Spread
from bench.measure.loader.user_code import DottedCollate, DottedDataset, DottedStep
from bench.measure.loader.workload import DatasetWorkload, Workload, effective_pin_memory
from posemodel.data.batch import Batch
from posemodel.errors import DataError, SettingsError
from tests.support.troubled_data import LENGTH, Troubled


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (2, 1), (3, 2), (10, 7), (89, 55), (100, 63)])
def test_samples_are_taken_in_a_spread_order_that_visits_each_once(size, stride):
    order = [Spread(range(size), size).position(0, at)[1] for at in range(size)]
    assert sorted(order) == [*range(size)]
    assert (order[1:2] or [0]) == [stride % size]


@pytest.mark.parametrize(("workers", "length"), [(0, 1), (1, 1), (3, 3)])
def test_after_a_round_the_same_worker_delivers_again(workers, length):
    assert configuration(batch_size=4, num_workers=workers).round_length == length


@pytest.fixture
def module(hermetic, monkeypatch):
    """A user's module in the working directory."""
    (hermetic / "my_package.py").write_text(
        "import torch\n"
        "class Mine:\n"
        "    def __len__(self): return 5\n"
        "    def __getitem__(self, index): return index\n"
        "class Stream:\n"
        "    def __iter__(self): return iter(())\n"
        "class Empty(Mine):\n"
        "    def __len__(self): return 0\n"
        "ready = Mine()\n"
        "def make(): return Mine()\n"
        "class Ragged(Mine):\n"
        "    def __getitem__(self, index): return torch.full((1 + index,), index)\n"
        "    @staticmethod\n"
        "    def collate_fn(samples): return torch.nn.utils.rnn.pad_sequence(samples)\n"
        "class AtOnce(Mine):\n"
        "    def __getitems__(self, indices): return [torch.tensor([i, len(indices)]) for i in indices]\n"
        "def number(samples): return torch.tensor([len(samples)])\n"
        "def make_step(size): return None\n"
        "def broken_step(): raise RuntimeError('no such device')\n"
        "def no_step(): return 7\n"
        "class Unpicklable(Mine):\n"
        "    def __init__(self): self.decode = lambda image: image\n"
    )
    monkeypatch.syspath_prepend(hermetic)
    yield "my_package"
    sys.modules.pop("my_package", None)


@pytest.mark.parametrize("name", ["my_package:Mine", "my_package.Mine", "my_package:ready", "my_package:make"])
def test_a_dotted_path_is_a_class_an_object_or_a_function(module, name):
    assert len(DottedDataset(name)()) == 5


@pytest.mark.parametrize("name", ["my_package:Missing", "no_such_package:Mine", "Mine", ""])
def test_a_path_that_leads_nowhere_names_the_flag(module, name):
    with pytest.raises(SettingsError, match=f"--dataset {name}: .*importable from the working directory"):
        DottedDataset(name)()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_package:Stream", "Stream is no map-style data set"),
        ("my_package:Empty", "Empty has no samples"),
    ],
)
def test_what_cannot_be_loaded_is_refused(module, name, words):
    with pytest.raises(SettingsError, match=words):
        DatasetWorkload(DottedDataset(name)).open_loader(configuration(), batches=1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (DottedStep("my_package:ready"), "--step my_package:ready: is a Mine; it must name a function"),
        (DottedStep("my_package:make_step"), "--step my_package:make_step: making it failed with TypeError"),
        (DottedStep("my_package:broken_step"), "RuntimeError: no such device. It must need no arguments"),
        (DottedStep("my_package:no_step"), "must return a function of a batch, got int"),
        (DottedCollate("my_package:ready").function, "--collate my_package:ready: is a Mine; it must name a function"),
        (DottedStep("my_broken:step"), "--step my_broken:step: SyntaxError"),
    ],
)
def test_a_step_or_a_collate_function_that_is_none_names_its_flag(module, hermetic, make, words):
    (hermetic / "my_broken.py").write_text("def step(:\n")
    with pytest.raises(SettingsError, match=words):
        make()


def test_a_data_set_s_own_collate_function_is_used_and_another_may_be_named(module):
    def batch(**options):
        workload = DatasetWorkload(DottedDataset("my_package:Ragged"), **options)
        return next(iter(workload.open_loader(configuration(batch_size=2), batches=2).loader))

    assert batch().dim() == 2
    assert batch(collate_fn=DottedCollate("my_package:number")).tolist() == [2]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_set_that_makes_whole_batches_is_asked_for_them(module, workers):
    workload = DatasetWorkload(DottedDataset("my_package:AtOnce"))
    batch = next(iter(workload.open_loader(configuration(batch_size=3, num_workers=workers), batches=2).loader))
    assert batch[:, 1].tolist() == [3, 3, 3]


def test_what_cannot_be_sent_to_a_worker_is_refused_where_workers_are_not_forked(module):
    workload = DatasetWorkload(DottedDataset("my_package:Unpicklable"))
    with pytest.raises(SettingsError, match=r"Unpicklable cannot be sent to a worker started by spawn.*lambda's place"):
        workload.open_loader(configuration(num_workers=1, start_method="spawn"), batches=1)
    workload.open_loader(configuration(num_workers=1, start_method="fork"), batches=1)


def test_a_loader_has_the_settings_asked_for(monkeypatch):
    open_files = []
    monkeypatch.setattr(workload, "require_open_files", lambda *needs: open_files.append(needs))
    chosen = configuration(
        batch_size=3, num_workers=2, prefetch_factor=4, persistent_workers=True, start_method="spawn"
    )
    loader = DatasetWorkload(Troubled()).open_loader(chosen, batches=7).loader
    assert (loader.batch_size, loader.num_workers, loader.prefetch_factor, len(loader)) == (3, 2, 4, 7)
    assert open_files == [(2, 4)]
    assert loader.persistent_workers
    assert loader.multiprocessing_context.get_start_method() == "spawn"


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


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_may_be_made_shorter_or_endless_before_it_begins(workers):
    settings = configuration(batch_size=4, num_workers=workers, persistent_workers=workers > 0)
    opened = DatasetWorkload(Troubled()).open_loader(settings, batches=1 << 32)
    opened.begin_epoch(0)
    opened.set_length(3)
    assert len(list(opened.loader)) == 3
    opened.set_length(1 << 32)
    opened.begin_epoch(1)
    batches = iter(opened.loader)
    assert {position for _ in range(17) for position in next(batches)[:, 0].tolist()} == set(range(LENGTH))


def test_epochs_differ_and_begin_anew():
    opened = DatasetWorkload(Troubled()).open_loader(configuration(batch_size=4), batches=8)
    epochs = []
    for epoch in (0, 1, 0):
        opened.begin_epoch(epoch)
        epochs.append([batch[:, 0].tolist() for batch in opened.loader])
    assert epochs[0] == epochs[2] != epochs[1]
    assert len({position for batch in epochs[0] for position in batch}) == 32 <= LENGTH


def test_a_small_data_set_fills_epochs_of_any_length():
    opened = DatasetWorkload(DottedDataset("tests.support.troubled_data:Random")).open_loader(
        configuration(batch_size=16), batches=6
    )
    assert len(list(opened.loader)) == 6


def test_the_generators_of_a_sample_depend_on_pass_and_position_alone():
    class Drawing:
        def __len__(self):
            return 3

        def __getitem__(self, position):
            return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002

    data = Seeded(Drawing(), seed=5)
    first = data[0, 1]
    assert data[0, 2] != first != data[1, 1]
    assert data[0, 1] == first
    assert Seeded(Drawing(), seed=6)[0, 1] != first


def test_opencv_has_the_threads_asked_for():
    before = cv2.getNumThreads()
    try:
        DatasetWorkload(Troubled()).open_loader(configuration(cv2_threads=2), batches=1)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="here pinning has an effect")
def test_without_an_accelerator_nothing_is_pinned():
    assert not effective_pin_memory(configuration(pin_memory=True))
    assert not DatasetWorkload(Troubled()).open_loader(configuration(pin_memory=True), batches=1).loader.pin_memory


@pytest.fixture
def pose(tiny):
    return PoseWorkload(tiny, "small", size=64)


def test_the_pose_workload_delivers_the_same_batches_with_workers_and_without(pose):
    workload: Workload = pose
    found = []
    for workers in (0, 2):
        opened = workload.open_loader(configuration(batch_size=4, num_workers=workers), batches=6)
        opened.begin_epoch(1)
        found.append([batch_hash(batch) for batch in islice(opened.loader, 6)])
    assert found[0] == found[1]
    assert len(set(found[0])) == 6


def test_the_pose_workloads_step_trains_on_its_batches(pose):
    batch = next(iter(pose.open_loader(configuration(batch_size=2), batches=1).loader))
    assert isinstance(batch, Batch)
    assert tuple(batch.images.shape) == (2, 3, 64, 64)
    step = pose.make_step()
    step(batch)
    step(batch)


def test_a_folder_without_people_names_its_file(coco_builder):
    coco_builder.image("train", 1)
    coco_builder.image("val", 2)
    with pytest.raises(DataError, match="no image with a labelled person is left to load"):
        PoseWorkload(coco_builder.write(), "small", size=64).open_loader(configuration(), batches=1)


class Drawing:
    """Each sample is what the three generators give."""

    def __len__(self):
        return 8

    def __getitem__(self, position):
        return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002


def test_samples_drawn_at_random_are_the_same_in_every_version():
    """Kept numbers: a study that is gone on with compares its batches with those of before."""
    assert Seeded(Drawing(), seed=3)[2, 5] == pytest.approx((0.9335103724459083, 0.6208408718854127, 0.935263991355896))
