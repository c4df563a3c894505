"""From overrides to a resolved study of a planned kind: settings layered, data found or made, device chosen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from bench.optimizers import optimizer_entry
from bench.optimizers.spaces import spaces_of
from bench.settings.data_files import whole_paths
from bench.settings.layers import Setting, about, build
from bench.study.machine_settings import default_name, default_preset, device_and_workers
from bench.study.settings import OUTSIDE, default_preset_of, kind_of, resolve
from bench.trials.study_base import StudyBase
from bench.workloads import POSE, workload
from bench.workloads.of_study import TABLE, settle_workload
from bench.workloads.protocol import AWAITED, MakeData, OnOpen
from posemodel.network import input_geometry

S = TypeVar("S", bound=StudyBase)


@dataclass(frozen=True)
class PreparedStudy(Generic[S]):
    """A resolved study, and what of the settings is no part of it."""

    spec: S
    workers: int
    """Trials that run at once."""
    data_s: float
    """Seconds that making the synthetic data set has taken."""
    labelled_images: Mapping[str, int] = field(default_factory=dict)
    """Samples with labels in `train`, `select` and `report`; empty where nothing is known."""


Check = Callable[[S, Mapping[str, Setting]], None]
UNNAMED = "unnamed"


def prepare_study(
    study: type[S],
    command_line: Mapping[str, Any],
    study_file: Path | None,
    preset: str | None,
    make_data: MakeData | None,
    on_open: OnOpen | None = None,
    check: Check[S] | None = None,
) -> PreparedStudy[S]:
    """Layer the settings, make or find the data, and resolve the study.

    ``make_data`` makes the default data set where it is not complete; None (a dry run) leaves it to be made
    later. ``on_open`` gets the opened splits. ``check`` refuses what the specification's own validation cannot
    see; it gets the settings with their origins.

    Raises SettingsError, or DataError if a split has no labelled person.
    """
    preset = preset or default_preset_of(kind_of(study), default_preset())
    settings = resolve(study, command_line=command_line, study_file=study_file, preset=preset)
    settings |= whole_paths(settings)
    its = workload(POSE)
    if TABLE in settings:
        its, own, settings = settle_workload(settings)
        its.check(own, settings)
    elif {"network", "size"} <= {*settings}:
        with about(settings, "network", "size"):
            input_geometry(settings["network"].value, settings["size"].value)
    settings = on_this_machine(study, settings)
    derived: dict[str, Any] = {"preset": preset, "device": settings["device"].value}
    if "spaces" in settings:
        derived["spaces"] = spaces_here(settings)
    name = settings["name"].value
    derived |= {"name": UNNAMED if name is None else name, "data": Path(), "data_digest": AWAITED}
    values = {name: setting.value for name, setting in settings.items() if name not in OUTSIDE}
    spec = build(study, values | derived, settings)
    if check is not None:
        check(spec, settings)  # before minutes are spent on making data
    found = its.find_data(settings, make_data, on_open)
    whole = {"data": found.folder, "data_digest": found.digest}
    if name is None:
        whole["name"] = default_name(kind_of(study), preset, found.folder)
    return PreparedStudy(spec.model_copy(update=whole), settings["workers"].value, found.data_s, found.labelled_images)


def on_this_machine(study: type[StudyBase], settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """All settings, with what this machine makes of those that hang on it, and of those that hang on each other."""
    here = dict(settings) | device_and_workers(settings)
    return study.settled(here, here["device"].value)


def spaces_here(settings: Mapping[str, Setting]) -> dict[str, dict[str, Any]]:
    """The space of each optimizer of the settings, whole; SettingsError names file, line and field."""
    for place, optimizer in enumerate(settings["optimizers"].value):
        with about(settings, ("optimizers", place)):
            optimizer_entry(optimizer)
    with about(settings, "optimizers", "weight_decay"):
        return spaces_of(
            settings["optimizers"].value,
            settings["spaces"].value,
            settings["spaces"].origins,
            weight_decay=settings["weight_decay"].value,
        )
