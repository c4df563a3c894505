"""The data of a loader study, found or made, and the workload built from it."""

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
from bench.measure.loader.own_loader import OwnLoaderWorkload
from bench.measure.loader.pose_workload import PoseWorkload
from bench.measure.loader.user_code import (
    DottedCollate,
    DottedDataset,
    DottedLoader,
    DottedStep,
    DottedWorkerInit,
    module_of,
    require_loadable,
    stdout_to_stderr,
)
from bench.measure.loader.workload import DatasetWorkload, WaitingStep, Workload, no_step
from bench.settings.data_files import absolute_paths, named_files
from bench.settings.layers import COMMAND_LINE, ENVIRONMENT_PREFIX, Setting, errors_about
from bench.workloads.pose_data import data_digest, find_folder
from bench.workloads.pose_weights import check_networks
from bench.workloads.protocol import FoundData, MakeData, OnOpen
from posemodel.config import DataFiles
from posemodel.data.layout import DataSet
from posemodel.data.open_split import open_split
from posemodel.errors import DataError, SettingsError


def own_data_set(settings: Mapping[str, Setting]) -> FoundData:
    """Check a user's data set, step, collate and worker functions, and return the working folder with a digest of them.

    The data set is opened once, so that its errors appear before anything is measured. Raises SettingsError if it
    cannot be used, or if settings contradict it.
    """
    value = {name: setting.value for name, setting in settings.items()}
    for name in ("data", *DataFiles.model_fields):
        if value[name] is None:
            continue
        with errors_about(settings, name, "dataset"):
            raise SettingsError(
                f"{name} and dataset: give one of the two ({name} from: {settings[name].origin}, dataset from: "
                f"{settings['dataset'].origin})."
            )
    for name in ("network", "size"):
        if settings[name].origin in (COMMAND_LINE, f"environment {ENVIRONMENT_PREFIX}{name.upper()}"):
            raise SettingsError(f"{name}: has no effect beside dataset, which has a step of its own; leave it out.")
    with errors_about(settings, "dataset"), stdout_to_stderr():
        dataset = require_loadable(DottedDataset(value["dataset"])(), value["dataset"])
        length = ""
        with contextlib.suppress(Exception):  # a stream may have no length
            length = f" {len(dataset)}"
    if isinstance(dataset, IterableDataset) and value["random_samples"]:
        with errors_about(settings, "random_samples"):
            raise SettingsError(
                "random_samples: has no effect on an IterableDataset, whose samples are not compared; leave it out."
            )
    if value["step"]:
        with errors_about(settings, "step"):
            DottedStep(value["step"]).factory()
    if value["collate"]:
        with errors_about(settings, "collate"):
            DottedCollate(value["collate"]).function()
    if value["worker_init"]:
        with errors_about(settings, "worker_init"):
            DottedWorkerInit(value["worker_init"]).function()
    digest = hashlib.sha256(f"{value['dataset']}{length}".encode())
    for path in (value["dataset"], value["step"], value["collate"], value["worker_init"]):
        digest.update(_source(path) if path else b"")
    return FoundData(Path.cwd(), digest.hexdigest()[:16])


def with_own_loader(data: FoundData, settings: Mapping[str, Setting]) -> FoundData:
    """Return the study's data with a digest that includes the user's own loader, if there is one; it is imported, not
    called."""
    path = settings["loader"].value
    if not path:
        return data
    with errors_about(settings, "loader"):
        DottedLoader(path).function()
    digest = hashlib.sha256(f"{data.digest} {path}".encode() + _source(path)).hexdigest()[:16]
    return data if data.awaited_images is not None else replace(data, digest=digest)


def _source(path: str) -> bytes:
    """Return the source code of the module at a dotted path; it is part of the digest, so that changed code is another
    study."""
    module = sys.modules[module_of(path)]
    file = Path(getattr(module, "__file__", None) or "")
    return file.read_bytes() if file.is_file() else b""


def coco_folder(settings: Mapping[str, Setting], make_data: MakeData | None, on_open: OnOpen | None) -> FoundData:
    """Return the folder in COCO's layout, found or made. Raises DataError if the split has no labelled object.

    Args:
        settings: The study's settings.
        make_data: Makes the folder; None (a dry run): it may be made later.
        on_open: Called with the opened split.
    """
    found_folder = find_folder(settings, make_data)
    if found_folder.awaited_images is not None:
        return found_folder
    data, name = DataSet(found_folder.folder, named_files(settings)), settings["split"].value
    with errors_about(settings, "data", "split", *absolute_paths(settings)):
        split = open_split(data, name, exif=settings["exif"].value)
        if not len(split.labelled_only()):
            raise DataError(f"{split.annotations}: no image of the split `{name}` has a labelled {split.noun} to load.")
    check_networks(settings, split.skeleton)
    if on_open is not None:
        on_open([split])
    return replace(found_folder, digest=data_digest(data, [split]))


def own_loader_workload(spec: LoaderSpec) -> OwnLoaderWorkload:
    """Return the workload of the study's step on what its own loader (`spec.loader`) yields."""
    return OwnLoaderWorkload(workload_of(spec), DottedLoader(spec.loader))


def own_loader_settings(spec: LoaderSpec, *, pinning: bool) -> list[LoaderConfiguration]:
    """Return the settings that the user's own loader is called with, one for each batch size; empty without such a
    loader.

    They have the largest number of workers, and pinned memory if it is requested and possible (``pinning``).
    """
    if not spec.loader:
        return []
    return [
        configuration(
            batch_size=each, num_workers=max(spec.num_workers), pin_memory=pinning and True in spec.pin_memory
        )
        for each in spec.batch_size
    ]


def workload_of(spec: LoaderSpec) -> Workload:
    """Return the study's data set and step, ready to be measured."""
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
    """Return the files that samples are read from; empty for a user's data set, whose files are unknown."""
    if spec.dataset:
        return []
    split = open_split(DataSet(spec.data, spec.own_files()), spec.split, exif=spec.exif).labelled_only()
    return [split.path(index) for index in range(len(split))]


def pinning_possible(spec: LoaderSpec) -> bool:
    """Return whether pinned memory can have an effect: there is an accelerator that copies from it, and the step copies
    to it."""
    accelerator = torch.accelerator.is_available() and torch.accelerator.current_accelerator() != torch.device("mps")
    return accelerator and spec.copies_batches
