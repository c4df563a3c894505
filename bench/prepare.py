"""From overrides to a resolved StudySpec: settings layered, data found or made, device chosen, people required."""

import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bench.measure.machine import usable_cores
from bench.optimizers import optimizer_entry
from bench.optimizers.spaces import spaces_of
from bench.setting_layers import Setting, about, space_key
from bench.settings import OPTIMIZERS, SYNTHETIC_SEED, build_spec, resolve
from bench.spec import StudySpec
from posemodel.data.coco import PackedSplit, open_split
from posemodel.data.layout import fingerprint
from posemodel.data.synthetic import GENERATOR_VERSION, marker_of
from posemodel.device import choose_device
from posemodel.errors import DataError, SettingsError
from posemodel.network import input_geometry

DATA_FOLDER = Path("data")
AWAITED = "not generated yet"
"""Data fingerprint of a dry run whose synthetic data set is still to be made."""


@dataclass(frozen=True)
class Prepared:
    """A resolved study, or a series of them over one data set, and what of the settings is no part of a study."""

    name: str
    """Of the study, or of the series."""
    specs: tuple[StudySpec, ...]
    """The study; of a series, one for each schedule, in turn."""
    workers: int
    """Trials that run at once."""
    awaited_images: int | None
    """Size of the synthetic data set that is still to be made; None where the data stands."""
    data_s: float = 0.0
    """Seconds that making the synthetic data set has taken."""

    @property
    def spec(self) -> StudySpec:
        """The study; of a series, its first: they differ in name and schedule alone."""
        return self.specs[0]

    @property
    def is_series(self) -> bool:
        """Whether there is more than one study."""
        return len(self.specs) > 1


OnSkip = Callable[[Sequence[PackedSplit]], object]
"""Gets the opened splits of a study with `skip_bad`: they know what was left out."""

MakeData = Callable[[Path, int, int], object]
"""Makes the synthetic data set: folder, number of images, seed."""


def prepare(
    command_line: Mapping[str, Any],
    study_file: Path | None,
    preset: str | None,
    make_data: MakeData | None,
    on_skip: OnSkip | None = None,
) -> Prepared:
    """Layer the settings, make or find the data, and resolve the study, or a series where `schedule` is a list.

    ``make_data`` makes the default data set where it is not complete; None (a dry run) leaves it to be made later.
    ``on_skip`` hears what `skip_bad` left out.
    Raises SettingsError, or DataError if a split has no labelled person.
    """
    preset = preset or default_preset()
    settings = resolve(command_line=command_line, study_file=study_file, preset=preset)
    for place, optimizer in enumerate(settings["optimizers"].value):
        with about(settings, ("optimizers", place)):
            optimizer_entry(optimizer)
    _refuse_idle_spaces(settings["optimizers"].value, command_line.get("spaces") or {})
    with about(settings, "optimizers", "weight_decay"):
        spaces = spaces_of(
            settings["optimizers"].value,
            settings["spaces"].value,
            settings["spaces"].origins,
            weight_decay=settings["weight_decay"].value,
        )
    with about(settings, "network", "size"):
        input_geometry(settings["network"].value, settings["size"].value)
    settings |= on_this_machine(settings)
    device = settings["device"].value
    found = find_data(settings, make_data, on_skip)
    name = settings["name"].value
    name = default_name(OPTIMIZERS, preset, found.folder) if name is None else name
    schedule = settings["schedule"]
    schedules = schedule.value if isinstance(schedule.value, tuple) else (schedule.value,)
    specs = tuple(
        build_spec(
            settings | {"schedule": Setting(each, schedule.origin)},
            name=f"{name}-{each}" if len(schedules) > 1 else name,
            preset=preset,
            data=found.folder,
            data_digest=found.digest,
            spaces=spaces,
            device=device,
        )
        for each in schedules
    )
    return Prepared(name, specs, settings["workers"].value, found.awaited_images, found.data_s)


@dataclass(frozen=True)
class FoundData:
    """The data set of a study."""

    folder: Path
    digest: str
    awaited_images: int | None
    """Size of the synthetic data set that is still to be made; None where the data stands."""
    data_s: float
    """Seconds that making it has taken."""


def find_data(settings: Mapping[str, Setting], make_data: MakeData | None, on_skip: OnSkip | None = None) -> FoundData:
    """The data set that `data` names, or the synthetic one of `synthetic_images`, made where it is not complete.

    For the arguments see `prepare`. DataError if a split has no labelled person.
    """
    folder, data_s, awaited = settings["data"].value, 0.0, False
    images = settings["synthetic_images"].value
    if folder is None:
        folder = DATA_FOLDER / f"synthetic-{images}-seed{SYNTHETIC_SEED}"
        if make_data is not None:
            began = time.perf_counter()
            make_data(folder, images, SYNTHETIC_SEED)
            data_s = time.perf_counter() - began
        awaited = make_data is None and not _stands(folder)
    folder = Path(folder).resolve()
    if awaited:
        return FoundData(folder, AWAITED, images, data_s)
    skip_bad = "skip_bad" in settings and settings["skip_bad"].value
    with about(settings, "data"):
        splits = _open_splits(folder, skip_bad=skip_bad)
    if on_skip is not None and skip_bad:
        on_skip(splits)
    return FoundData(folder, _digest(folder, splits), None, data_s)


def on_this_machine(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """What this machine makes of `device` and `workers`; `cores` is one on an accelerator.

    On a CPU a trial for each core, of one thread each, trains more in all.
    """
    device = device_here(settings)
    workers = settings["workers"]
    if workers.value == "cores":
        cores = usable_cores()
        workers = (
            Setting(cores, f"{workers.origin} (cores: {cores} here)")
            if device.value == "cpu"
            else Setting(1, f"{workers.origin} (cores: one trial on a {device.value} device)")
        )
    return {"device": device, "workers": workers}


def device_here(settings: Mapping[str, Setting]) -> Setting:
    """The device that `device` means on this machine; SettingsError where it has no such device."""
    asked = settings["device"]
    with about(settings, "device"):
        found = choose_device(asked.value).type
    return asked if found == asked.value else Setting(found, f"{asked.origin} ({asked.value}: found here)")


def _refuse_idle_spaces(optimizers: Sequence[str], typed: Mapping[str, Any]) -> None:
    """A file may hold the space of an optimizer that this study leaves out; one that is typed is meant to be used."""
    compared = {space_key(name) for name in optimizers}
    for name in typed:
        if space_key(name) not in compared:
            optimizer_entry(name)  # a mistyped name is told as such
            raise SettingsError(
                f"--space {name}: the study does not compare {name} (it compares {', '.join(optimizers)}): "
                "add it to --optimizers."
            )


def _stands(folder: Path) -> bool:
    """Whether the default synthetic set is complete; DataError if it is of another generator."""
    marker = marker_of(folder)
    if marker is not None and marker.get("version") != GENERATOR_VERSION:
        raise DataError(
            f"{folder}: holds a synthetic set of generator version {marker.get('version')}, this is version "
            f"{GENERATOR_VERSION}: remove the folder yourself, or give it with --data."
        )
    return marker is not None and marker.get("complete") is True


def default_name(kind: str, preset: str, folder: Path) -> str:
    """Kind, preset and data folder; what a name cannot hold becomes a hyphen."""
    return f"{kind}-{preset}-" + re.sub(r"[^A-Za-z0-9._-]+", "-", folder.name)


def _open_splits(folder: Path, *, skip_bad: bool) -> list[PackedSplit]:
    """A study chooses on `select` and reports on `report`: without labelled people there is no AP to go by."""
    splits = []
    for split, hold_out in (("train", True), ("select", False), ("report", False)):
        packed = open_split(folder, split, hold_out_select=hold_out, skip_bad=skip_bad)
        if not len(packed.labelled_only()):
            raise DataError(
                f"{packed.annotations}: the split `{split}` ({len(packed)} images) has no labelled person; a study "
                "needs some in each of train, select and report."
            )
        splits.append(packed)
    return splits


def _digest(folder: Path, splits: Sequence[PackedSplit]) -> str:
    """The annotations' fingerprint; where something was left out, of the images that are left as well.

    A file that is mended between two calls changes what is trained on, and with it the study.
    """
    digest = fingerprint(folder)
    if not any(split.left_out for split in splits):
        return digest
    kept = "".join(split.digest() for split in splits)
    return hashlib.sha256((digest + kept).encode()).hexdigest()[: len(digest)]


def default_preset() -> str:
    """`full` is for a GPU, `small` for a CPU."""
    return "full" if torch.cuda.is_available() else "small"
