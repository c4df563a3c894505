import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from posemodel.config import AugmentSettings, InputSettings, LoaderSettings
from posemodel.data.batch import Batch, to_device
from posemodel.data.dataset import PoseDataset, targets_in_workers
from posemodel.data.loader import build_loader
from posemodel.data.open_split import PackedSplit, open_split
from posemodel.data.sampler import EpochSampler
from posemodel.errors import DataError
from posemodel.skeleton import COCO_PERSON
from tests.support.long_tests import long

GEOMETRY = InputSettings(size=64, stride=4)
START_METHODS = multiprocessing.get_all_start_methods()


HANG = 400
"""Seconds after which workers that say nothing are taken for dead."""


@pytest.fixture(autouse=True)
def no_hanging() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"no batch within {HANG} s: the workers wait for ever")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(HANG)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture(scope="module")
def split(tiny_set: Path) -> PackedSplit:
    return open_split(tiny_set, "train")


def digest(batch: Batch) -> str:
    parts = [b"" if tensor is None else tensor.numpy().tobytes() for tensor in batch]
    return hashlib.sha256(b"|".join(parts)).hexdigest()


def digests(split: PackedSplit, epochs: Sequence[int] = (0, 1), *, seed: int = 4, **settings: object) -> list[str]:
    dataset = PoseDataset(split, GEOMETRY, augment=AugmentSettings(), seed=seed)
    chosen = LoaderSettings.model_validate({"batch_size": 5} | settings)
    loader, sampler = build_loader(dataset, chosen, training=True, seed=seed)
    found = []
    for epoch in epochs:
        sampler.epoch = epoch
        found += [digest(batch) for batch in loader]
    return found


@pytest.fixture(scope="module")
def in_process(split: PackedSplit) -> list[str]:
    return digests(split)


FORKED = [each for each in START_METHODS if each == "fork"] or START_METHODS[:1]
"""Workers that start in no time; those of the other methods take seconds."""
BY_METHOD = [pytest.param(each, marks=[] if each in FORKED else pytest.mark.long) for each in START_METHODS]


@pytest.mark.parametrize("method", BY_METHOD)
@pytest.mark.parametrize(
    "settings", [{"num_workers": 1}, {"num_workers": 2, "prefetch_factor": 3, "persistent_workers": True}]
)
def test_workers_yield_the_same_batches(
    split: PackedSplit, in_process: list[str], method: str, settings: dict[str, object]
) -> None:
    if method == "fork" or "persistent_workers" in settings:
        assert digests(split, start_method=method, **settings) == in_process
    else:  # seconds for each start of a worker: the second epoch begins with one, as every epoch does
        assert digests(split, [1], start_method=method, **settings) == in_process[2:]


@pytest.mark.skipif("fork" not in START_METHODS, reason="the platform does not fork")
def test_forking_after_opencv_has_worked_with_threads_in_this_process(
    split: PackedSplit, in_process: list[str]
) -> None:
    """A forked worker once waited for ever for OpenCV's threads, which had stayed in its parent."""
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (0, 0), 5)
    assert digests(split, num_workers=1, start_method="fork") == in_process


def test_batches_are_repeatable_and_differ_between_epochs_and_seeds(split: PackedSplit, in_process: list[str]) -> None:
    assert len(in_process) == 4
    assert digests(split) == in_process
    assert len(set(in_process)) == 4
    assert not set(digests(split, seed=5)) & set(in_process)


def test_the_global_generators_do_not_matter(split: PackedSplit, in_process: list[str]) -> None:
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002 (the point is that nothing reads it)
    assert digests(split) == in_process


def test_a_sample_is_augmented_differently_in_every_epoch(split: PackedSplit) -> None:
    dataset = PoseDataset(split, GEOMETRY, augment=AugmentSettings(), seed=4)
    samples = [digest(dataset[(epoch, 3)]) for epoch in range(5)]
    assert len(set(samples)) == 5
    assert digest(dataset[3]) == samples[0], "a plain position is epoch 0"


def test_shapes_and_types(split: PackedSplit) -> None:
    loader, _ = build_loader(PoseDataset(split, GEOMETRY), LoaderSettings(batch_size=3), training=False)
    batch = next(iter(loader))
    assert isinstance(batch, Batch)
    assert {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in batch._asdict().items()} == {
        "images": ((3, 3, 64, 64), torch.uint8),
        "heatmaps": ((3, 19, 16, 16), torch.float16),
        "pafs": ((3, 38, 16, 16), torch.float16),
        "mask": ((3, 1, 16, 16), torch.uint8),
        "people": ((3, max(split.people_count(p) for p in range(3)), 18, 3), torch.float32),
        "warps": ((3, 2, 3), torch.float64),
        "image_ids": ((3,), torch.int64),
    }


def test_images_are_channels_last_as_the_networks_want_them(split: PackedSplit) -> None:
    loader, _ = build_loader(PoseDataset(split, GEOMETRY), LoaderSettings(batch_size=3), training=False)
    for batch in loader:
        assert batch.images.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("workers", [0, 1])
def test_targets_made_on_the_device_are_the_workers_own(split: PackedSplit, workers: int) -> None:
    chosen = LoaderSettings(batch_size=5, num_workers=workers)
    here, there = (
        build_loader(
            PoseDataset(split, GEOMETRY, augment=AugmentSettings(), with_targets=with_targets), chosen, training=False
        )[0]
        for with_targets in (True, False)
    )
    for whole, light in zip(here, there, strict=True):
        assert light.heatmaps is None
        assert light.pafs is None
        moved = to_device(light, torch.device("cpu"), GEOMETRY, COCO_PERSON)
        for name in Batch._fields:
            ours, theirs = getattr(moved, name), getattr(whole, name)
            assert ours.dtype == theirs.dtype
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


def test_who_makes_the_targets() -> None:
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert [targets_in_workers("auto", device) for device in (cpu, cuda)] == [True, False]
    assert [targets_in_workers("loader", device) for device in (cpu, cuda)] == [True, True]
    assert [targets_in_workers("device", device) for device in (cpu, cuda)] == [False, False]


def test_validation_keeps_the_order_of_the_file_and_the_last_smaller_batch(split: PackedSplit) -> None:
    loader, sampler = build_loader(PoseDataset(split, GEOMETRY), LoaderSettings(batch_size=5), training=False)
    passes = []
    for epoch in (0, 3):
        sampler.epoch = epoch
        passes.append([batch.image_ids.tolist() for batch in loader])
    ids = [split.image_id(p) for p in range(12)]
    assert passes[0] == passes[1] == [ids[:5], ids[5:10], ids[10:]]


def test_training_shuffles_anew_each_epoch_and_drops_the_last_smaller_batch(split: PackedSplit) -> None:
    loader, sampler = build_loader(PoseDataset(split, GEOMETRY), LoaderSettings(batch_size=5), training=True, seed=1)
    assert len(loader) == 2
    orders = []
    for epoch in (0, 1):
        sampler.epoch = epoch
        batches = [batch.image_ids.tolist() for batch in loader]
        assert [len(batch) for batch in batches] == [5, 5]
        orders.append([i for batch in batches for i in batch])
        assert len(set(orders[-1])) == 10
    assert orders[0] != orders[1]
    assert orders[0] != sorted(orders[0])


def test_fewer_images_than_a_batch_are_still_trained_on(split: PackedSplit) -> None:
    dataset = PoseDataset(split.subset([0, 1, 2]), GEOMETRY)
    loader, _ = build_loader(dataset, LoaderSettings(batch_size=8), training=True)
    assert [len(batch.image_ids) for batch in loader] == [3]


def test_an_epoch_visits_every_position_once_and_can_be_taken_up_in_its_middle() -> None:
    sampler = EpochSampler(20, shuffle=True, seed=3)
    sampler.epoch = 2
    whole = list(sampler)
    assert {epoch for epoch, _ in whole} == {2}
    assert sorted(position for _, position in whole) == list(range(20))
    sampler.skip = 7
    assert list(sampler) == whole[7:]
    assert len(sampler) == 13


def test_a_bad_image_in_a_worker_is_named(tiny_set: Path, split: PackedSplit, tmp_path: Path) -> None:
    absent = replace(split, folder=str(tmp_path / "nowhere"))
    for workers in (0, 1):
        loader, _ = build_loader(PoseDataset(absent, GEOMETRY), LoaderSettings(num_workers=workers), training=False)
        with pytest.raises(DataError, match=r"nowhere.*no such file \(image id 1\)") as caught:
            next(iter(loader))
        assert "Traceback" not in str(caught.value)


class _Telling(PoseDataset):
    """Notes what the process that makes samples does with signals and threads."""

    note: Path

    def __getitem__(self, position: int):  # type: ignore[no-untyped-def]
        handled = [str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]
        self.note.write_text(json.dumps([os.getpid(), *handled, cv2.getNumThreads()]))
        return super().__getitem__(position)


@pytest.mark.parametrize(
    "method",
    [*FORKED, *(long(each) for each in START_METHODS if each not in FORKED)],
)
def test_a_worker_leaves_interruptions_to_the_process_that_trains(
    split: PackedSplit, tmp_path: Path, method: str
) -> None:
    dataset = _Telling(split, GEOMETRY)
    dataset.note = tmp_path / "noted.json"
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # the trainer's, which a forked worker would have
    try:
        loader, _ = build_loader(
            dataset, LoaderSettings(batch_size=12, num_workers=1, start_method=method), training=False
        )
        list(loader)
    finally:
        signal.signal(signal.SIGTERM, before)
    process, interrupt, terminate, threads = json.loads(dataset.note.read_text())
    assert process != os.getpid()
    assert (interrupt, terminate, threads) == (str(signal.SIG_IGN), str(signal.SIG_DFL), 1)


@pytest.mark.skipif(not hasattr(os, "setpgrp"), reason="no groups of processes here")
def test_a_sigterm_to_the_group_ends_no_worker_of_torchrun_s_processes(
    split: PackedSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes where it does most harm: when the worker runs, and has not left the group yet."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    leave = os.setpgrp

    def terminated() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        leave()

    monkeypatch.setattr(os, "setpgrp", terminated)
    loader, _ = build_loader(
        PoseDataset(split, GEOMETRY), LoaderSettings(batch_size=6, num_workers=2, start_method="fork"), training=False
    )
    assert sum(len(batch.image_ids) for batch in loader) == 12
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set(), "the process that trains hears it again"


def test_workers_are_as_the_settings_say(split: PackedSplit) -> None:
    settings = {"num_workers": 2, "prefetch_factor": 3, "persistent_workers": True, "start_method": START_METHODS[0]}
    loader, _ = build_loader(PoseDataset(split, GEOMETRY), LoaderSettings.model_validate(settings), training=True)
    assert {name: getattr(loader, name, None) for name in settings} | {
        "start_method": loader.multiprocessing_context.get_start_method()
    } == settings


def test_pinning_without_an_accelerator_is_left_out(split: PackedSplit) -> None:
    loader, _ = build_loader(PoseDataset(split, GEOMETRY), LoaderSettings(pin_memory=True), training=True)
    assert loader.pin_memory == torch.accelerator.is_available()
