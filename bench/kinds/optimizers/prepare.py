"""From overrides to a resolved StudySpec: settings layered, data found or made, device chosen, people required."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.kinds.optimizers.settings import OPTIMIZERS, build_spec, resolve
from bench.kinds.optimizers.spec import StudySpec
from bench.optimizers import optimizer_entry
from bench.optimizers.spaces import spaces_of
from bench.settings.data_files import whole_paths
from bench.settings.layers import Setting, about, space_key
from bench.study.machine_settings import default_name, default_preset, device_and_workers
from bench.workloads.of_study import settle_workload
from bench.workloads.protocol import MakeData, OnOpen
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
    settings |= device_and_workers(settings)
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
