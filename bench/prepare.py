"""From overrides to a resolved StudySpec: settings layered, data found or made, device chosen, people required."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.measure.machine import usable_cores
from bench.optimizers import optimizer_entry
from bench.optimizers.spaces import spaces_of
from bench.setting_layers import Setting, about, space_key
from bench.settings import OPTIMIZERS, build_spec, resolve
from bench.spec import StudySpec
from bench.study_base import whole_paths
from bench.workloads.of_study import settle_workload
from bench.workloads.protocol import MakeData, OnOpen
from posemodel.device import choose_device
from posemodel.errors import SettingsError


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
    labelled_images: Mapping[str, int] = field(default_factory=dict)
    """Samples with labels in `train`, `select` and `report`; empty where nothing is known."""

    @property
    def spec(self) -> StudySpec:
        """The study; of a series, its first: they differ in name and schedule alone."""
        return self.specs[0]

    @property
    def is_series(self) -> bool:
        """Whether there is more than one study."""
        return len(self.specs) > 1


def prepare(
    command_line: Mapping[str, Any],
    study_file: Path | None,
    preset: str | None,
    make_data: MakeData | None,
    on_open: OnOpen | None = None,
) -> Prepared:
    """Layer the settings, make or find the data, and resolve the study, or a series where `schedule` is a list.

    ``make_data`` makes the default data set where it is not complete; None (a dry run) leaves it to be made later.
    ``on_open`` gets the opened splits.
    Raises SettingsError, or DataError if a split has no labelled person.
    """
    preset = preset or default_preset()
    settings = resolve(command_line=command_line, study_file=study_file, preset=preset)
    settings |= whole_paths(settings)
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
    its, own, settings = settle_workload(settings)
    its.check(own, settings)
    settings |= on_this_machine(settings)
    device = settings["device"].value
    found = its.find_data(settings, make_data, on_open)
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
    return Prepared(name, specs, settings["workers"].value, found.awaited_images, found.data_s, found.labelled_images)


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


def default_name(kind: str, preset: str, folder: Path) -> str:
    """Kind, preset and data folder (or annotation file); what a name cannot hold becomes a hyphen."""
    stem = folder.stem if folder.is_file() else folder.name
    return f"{kind}-{preset}-" + re.sub(r"[^A-Za-z0-9._-]+", "-", stem)


def default_preset() -> str:
    """`full` is for a GPU, `small` for a CPU."""
    return "full" if torch.cuda.is_available() else "small"
