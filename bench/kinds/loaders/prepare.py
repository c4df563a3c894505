"""From overrides to a resolved LoaderSpec and the workload that it measures."""

import hashlib
import json
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.kinds.loaders.settings import ADVICE_PRESETS, default_batch_sizes, default_workers, resolve
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.limits import limits
from bench.measure.loader.dotted import (
    DottedCollate,
    DottedDataset,
    DottedStep,
    DottedWorkerInit,
    module_of,
    require_map_style,
    stdout_to_stderr,
)
from bench.measure.loader.pose_workload import PoseWorkload
from bench.measure.loader.workload import DatasetWorkload, WaitingStep, Workload, no_step
from bench.settings.data_files import named_files, whole_paths
from bench.settings.layers import AUTO, COMMAND_LINE, ENVIRONMENT_PREFIX, Setting, about, build
from bench.study.machine_settings import default_preset, device_here
from bench.workloads.pose_data import DATA_FOLDER, SYNTHETIC_SEED, data_digest
from bench.workloads.protocol import AWAITED, MakeData, OnOpen
from posemodel.config import DataFiles
from posemodel.data.coco import open_split
from posemodel.data.layout import DataSet
from posemodel.device import choose_device
from posemodel.errors import DataError, SettingsError
from posemodel.network import input_geometry


@dataclass(frozen=True)
class PreparedLoaders:
    """A resolved loader study."""

    spec: LoaderSpec
    data_s: float = 0.0
    """Seconds that making the synthetic data set has taken."""


def prepare_loaders(
    command_line: Mapping[str, Any],
    study_file: Path | None,
    preset: str | None,
    make_data: MakeData | None,
    on_open: OnOpen | None = None,
) -> PreparedLoaders:
    """Layer the settings, make or find the data, and resolve the study.

    ``make_data`` makes the default data set; None (a dry run) leaves it to be made later. ``on_open`` gets the opened
    split. Raises SettingsError, or
    DataError where nothing can be loaded.
    """
    preset = preset or default_preset()
    settings = resolve(command_line=command_line, study_file=study_file, preset=preset)
    settings |= whole_paths(settings)
    settings |= on_this_machine(settings, preset)
    value = {name: setting.value for name, setting in settings.items()}
    if value["dataset"]:
        folder, digest, data_s = _own(value, settings)
        stem = value["dataset"].replace(":", ".").rpartition(".")[2]
    else:
        folder, digest, data_s = _coco(value, settings, make_data, on_open)
        stem = folder.stem if folder.is_file() else folder.name
    outside = ("name", "data", "device", "synthetic_images")
    values = {key: setting.value for key, setting in settings.items() if key not in outside}
    if settings["largest_batch"].origin == f"preset {preset}" and not _takes_memory(value):
        values["largest_batch"] = False  # the preset's wish, where there is nothing to search with
    if not value["dataset"]:
        values["size"] = input_geometry(value["network"], value["size"]).size
    derived = {"preset": preset, "data": folder, "data_digest": digest, "device": value["device"]}
    spec = build(LoaderSpec, values | derived | {"name": value["name"] or "unnamed"}, settings)
    if not value["name"]:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", stem)
        spec = spec.model_copy(update={"name": _name(spec, stem)})
    return PreparedLoaders(spec, data_s)


def on_this_machine(settings: Mapping[str, Setting], preset: str) -> dict[str, Setting]:
    """What this machine makes of `device`, and of `num_workers` and `batch_size` where they are left to it."""
    found = {"device": device_here(settings)}
    workers, batch_size = settings["num_workers"], settings["batch_size"]
    if workers.value == AUTO:
        here = limits()
        chosen = default_workers(here, few=preset in ADVICE_PRESETS)
        found["num_workers"] = Setting(chosen, f"{workers.origin} ({AUTO}: {here.cores:g} cores here)")
    if batch_size.value == AUTO:
        device = found["device"].value
        found["batch_size"] = Setting(default_batch_sizes(device), f"{batch_size.origin} ({AUTO}: device {device})")
    return found


def _name(spec: LoaderSpec, stem: str) -> str:
    """kind-preset-data; of advice, where every question is another study, a digest of all that was asked as well."""
    if spec.preset not in ADVICE_PRESETS:
        return f"loaders-{spec.preset}-{stem}"
    asked = json.dumps(spec.identity() | {"name": ""}, sort_keys=True)
    return f"loader-advice-{stem}-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"


def _takes_memory(value: Mapping[str, Any]) -> bool:
    return value["step_ms"] is None and (not value["dataset"] or bool(value["step"]))


def advice_preset(device: str | None) -> str:
    """The preset of `posebench loader advise` on this machine."""
    return "advice-gpu" if choose_device(device or "auto").type == "cuda" else "advice"  # type: ignore[arg-type]


def _own(value: Mapping[str, Any], settings: Mapping[str, Setting]) -> tuple[Path, str, float]:
    """A data set by dotted path is opened here once: what is wrong with it is told before anything is measured."""
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
        length = len(require_map_style(DottedDataset(value["dataset"])(), value["dataset"]))
    if value["step"]:
        with about(settings, "step"):
            DottedStep(value["step"]).factory()
    if value["collate"]:
        with about(settings, "collate"):
            DottedCollate(value["collate"]).function()
    if value["worker_init"]:
        with about(settings, "worker_init"):
            DottedWorkerInit(value["worker_init"]).function()
    found = hashlib.sha256(f"{value['dataset']} {length}".encode())
    for path in (value["dataset"], value["step"], value["collate"], value["worker_init"]):
        found.update(_source(path) if path else b"")
    return Path.cwd(), found.hexdigest()[:16], 0.0


def _source(path: str) -> bytes:
    """The source of the module at a dotted path: what it measured before it was changed is another study's."""
    module = sys.modules[module_of(path)]
    file = Path(getattr(module, "__file__", None) or "")
    return file.read_bytes() if file.is_file() else b""


def _coco(
    value: Mapping[str, Any], settings: Mapping[str, Setting], make_data: MakeData | None, on_open: OnOpen | None
) -> tuple[Path, str, float]:
    with about(settings, "network", "size"):
        input_geometry(value["network"], value["size"])
    files = named_files(settings)
    folder, data_s = value["data"] or files.first_annotations, 0.0
    if folder is None:
        images = value["synthetic_images"]
        folder = DATA_FOLDER / f"synthetic-{images}-seed{SYNTHETIC_SEED}"
        if make_data is None and not folder.is_dir():
            return folder.resolve(), AWAITED, 0.0
        if make_data is not None:
            began = time.perf_counter()
            make_data(folder, images, SYNTHETIC_SEED)
            data_s = time.perf_counter() - began
    folder = Path(folder).resolve()
    data = DataSet(folder, files)
    with about(settings, "data", "split", *whole_paths(settings)):
        split = open_split(data, value["split"], exif=value["exif"])
        if not len(split.labelled_only()):
            raise DataError(
                f"{split.annotations}: no image of the split `{value['split']}` has a labelled person to load."
            )
    if on_open is not None:
        on_open([split])
    return folder, data_digest(data, [split]), data_s


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
