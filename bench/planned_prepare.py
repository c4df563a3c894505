"""From overrides to a resolved study of a planned kind: settings layered, data found or made, device chosen."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bench.optimizers.spaces import spaces_of
from bench.planned_settings import OUTSIDE, SPACES, resolve
from bench.prepare import MakeData, OnSkip, default_name, default_preset, find_data, trials_at_once
from bench.setting_layers import build
from bench.study_base import StudyBase
from posemodel.device import choose_device
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


def prepare_study(
    study: type[S],
    command_line: Mapping[str, Any],
    study_file: Path | None,
    preset: str | None,
    make_data: MakeData | None,
    on_skip: OnSkip | None = None,
) -> PreparedStudy[S]:
    """Layer the settings, make or find the data, and resolve the study; for the arguments see `bench.prepare.prepare`.

    Raises SettingsError, or DataError if a split has no labelled person.
    """
    preset = preset or default_preset()
    settings = resolve(study, command_line=command_line, study_file=study_file, preset=preset)
    device = choose_device(settings["device"].value).type
    settings = study.settled(settings, device)
    input_geometry(settings["network"].value, settings["size"].value)
    derived: dict[str, Any] = {"preset": preset, "device": device}
    if SPACES in settings:
        derived[SPACES] = spaces_of(
            settings["optimizers"].value,
            settings[SPACES].value,
            settings[SPACES].origins,
            weight_decay=settings["weight_decay"].value,
        )
    found = find_data(settings, make_data, on_skip)
    derived |= {"data": found.folder, "data_digest": found.digest}
    derived["name"] = settings["name"].value or default_name(study.model_fields["kind"].default, preset, found.folder)
    values = {name: setting.value for name, setting in settings.items() if name not in OUTSIDE}
    spec = build(study, values | derived, settings)
    return PreparedStudy(spec, trials_at_once(settings["workers"].value, device), found.data_s)
