"""The data of a loader study, found or made, and the workload that is measured on it."""

import contextlib
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import IterableDataset

from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.configuration import LoaderConfiguration, configuration
from bench.measure.loader.dotted import (
    DottedCollate,
    DottedDataset,
    DottedLoader,
    DottedStep,
    DottedWorkerInit,
    module_of,
    require_loadable,
    stdout_to_stderr,
)
from bench.measure.loader.own_loader import OwnLoaderWorkload
from bench.measure.loader.pose_workload import PoseWorkload
from bench.measure.loader.workload import DatasetWorkload, WaitingStep, Workload, no_step
from bench.settings.data_files import absolute_paths, named_files
from bench.settings.layers import COMMAND_LINE, ENVIRONMENT_PREFIX, Setting, about
from bench.workloads.pose_data import data_digest, find_folder
from bench.workloads.protocol import FoundData, MakeData, OnOpen
from posemodel.config import DataFiles
from posemodel.data.coco import open_split
from posemodel.data.layout import DataSet
from posemodel.errors import DataError, SettingsError


def own_data_set(settings: Mapping[str, Setting]) -> FoundData:
    """A data set by dotted path is opened here once: what is wrong with it is told before anything is measured."""
    value = {name: setting.value for name, setting in settings.items()}
    for name in ("data", *DataFiles.model_fields):
        if value[name] is None:
            continue
        with about(settings, name, "dataset"):
            raise SettingsError(
                f"{name} and dataset: give one of the two ({name} from: {settings[name].origin}, dataset from: "
                f"{settings['dataset'].origin})."
            )
    for name in ("network", "size"):
        if settings[name].origin in (COMMAND_LINE, f"environment {ENVIRONMENT_PREFIX}{name.upper()}"):
            raise SettingsError(f"{name}: has no effect beside dataset, which has a step of its own; leave it out.")
    with about(settings, "dataset"), stdout_to_stderr():
        dataset = require_loadable(DottedDataset(value["dataset"])(), value["dataset"])
        length = ""
        with contextlib.suppress(Exception):  # a stream's need not be known
            length = f" {len(dataset)}"
    if isinstance(dataset, IterableDataset) and value["random_samples"]:
        with about(settings, "random_samples"):
            raise SettingsError(
                "random_samples: has no effect on an IterableDataset, whose samples are not compared; leave it out."
            )
    if value["step"]:
        with about(settings, "step"):
            DottedStep(value["step"]).factory()
    if value["collate"]:
        with about(settings, "collate"):
            DottedCollate(value["collate"]).function()
    if value["worker_init"]:
        with about(settings, "worker_init"):
            DottedWorkerInit(value["worker_init"]).function()
    found = hashlib.sha256(f"{value['dataset']}{length}".encode())
    for path in (value["dataset"], value["step"], value["collate"], value["worker_init"]):
        found.update(_source(path) if path else b"")
    return FoundData(Path.cwd(), found.hexdigest()[:16])


def with_own_loader(found: FoundData, settings: Mapping[str, Setting]) -> FoundData:
    """A study's data with the loader of one's own, where there is one: it is looked for here, and not yet called."""
    path = settings["loader"].value
    if not path:
        return found
    with about(settings, "loader"):
        DottedLoader(path).function()
    digest = hashlib.sha256(f"{found.digest} {path}".encode() + _source(path)).hexdigest()[:16]
    return found if found.awaited_images is not None else replace(found, digest=digest)


def _source(path: str) -> bytes:
    """The source of the module at a dotted path: what it measured before it was changed is another study's."""
    module = sys.modules[module_of(path)]
    file = Path(getattr(module, "__file__", None) or "")
    return file.read_bytes() if file.is_file() else b""


def coco_folder(settings: Mapping[str, Setting], make_data: MakeData | None, on_open: OnOpen | None) -> FoundData:
    """The folder in COCO's layout, found or made; ``make_data`` None (a dry run): left to be made later.

    DataError where the split has no labelled person.
    """
    placed = find_folder(settings, make_data)
    if placed.awaited_images is not None:
        return placed
    data, name = DataSet(placed.folder, named_files(settings)), settings["split"].value
    with about(settings, "data", "split", *absolute_paths(settings)):
        split = open_split(data, name, exif=settings["exif"].value)
        if not len(split.labelled_only()):
            raise DataError(f"{split.annotations}: no image of the split `{name}` has a labelled person to load.")
    if on_open is not None:
        on_open([split])
    return replace(placed, digest=data_digest(data, [split]))


def own_loader_workload(spec: LoaderSpec) -> OwnLoaderWorkload:
    """The study's step on what its own loader (`spec.loader`) yields."""
    return OwnLoaderWorkload(workload_of(spec), DottedLoader(spec.loader))


def own_loader_settings(spec: LoaderSpec, *, pinning: bool) -> list[LoaderConfiguration]:
    """What the study's own loader is told, one for each batch size: most workers, pinned where that is possible
    (``pinning``) and asked for; none where there is no own loader."""
    if not spec.loader:
        return []
    return [
        configuration(
            batch_size=each, num_workers=max(spec.num_workers), pin_memory=pinning and True in spec.pin_memory
        )
        for each in spec.batch_size
    ]


def workload_of(spec: LoaderSpec) -> Workload:
    """What the study measures."""
    waiting = None if spec.step_ms is None else spec.step_ms / 1000
    if not spec.dataset:
        return PoseWorkload(
            data=spec.data,
            network=spec.network,
            size=spec.size,
            split=spec.split,
            targets=spec.targets,
            seed=spec.seed,
            device=spec.device,
            step_s=waiting,
            files=spec.own_files(),
            exif=spec.exif,
        )
    step = DottedStep(spec.step) if spec.step else WaitingStep(waiting) if waiting is not None else no_step
    collate = DottedCollate(spec.collate) if spec.collate else None
    return DatasetWorkload(
        DottedDataset(spec.dataset),
        step=step,
        collate_fn=collate,
        seed=spec.seed,
        device=spec.device,
        worker_init_fn=DottedWorkerInit(spec.worker_init) if spec.worker_init else None,
    )


def files_of(spec: LoaderSpec) -> list[Path]:
    """The files that samples are read from; none where only the data set knows."""
    if spec.dataset:
        return []
    split = open_split(DataSet(spec.data, spec.own_files()), spec.split, exif=spec.exif).labelled_only()
    return [split.path(place) for place in range(len(split))]


def pinning_possible(spec: LoaderSpec) -> bool:
    """Whether pinned memory can have an effect: an accelerator that copies from it, and a step that copies to it."""
    there = torch.accelerator.is_available() and torch.accelerator.current_accelerator() != torch.device("mps")
    return there and spec.copies_batches
