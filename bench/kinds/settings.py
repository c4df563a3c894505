"""What the settings of each kind of study are: the one table that `posebench config` and `posebench study new` read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.kinds import planned_kind
from bench.kinds.loaders import prepare as loader_prepare
from bench.kinds.loaders import settings as loader_settings
from bench.kinds.loaders.spec import LOADERS
from bench.kinds.names import PLANNED
from bench.kinds.optimizers import settings
from bench.kinds.optimizers.settings import OPTIMIZERS
from bench.optimizers.spaces import spaces_of
from bench.settings.declared import Described
from bench.settings.layers import Setting
from bench.settings.validation import nearest
from bench.study import settings as study_settings
from bench.study.machine_settings import device_and_workers
from bench.study.prepare import on_this_machine, spaces_here
from posemodel.errors import SettingsError
from posemodel.network import input_geometry

Settings = Mapping[str, Setting]


@dataclass(frozen=True)
class KindSettings:
    """The settings of one kind of study."""

    question: str
    """That such a study answers, in a sentence."""
    described: Callable[[], Mapping[str, Described]]
    """Every setting of a study file, in the order in which one is written."""
    presets: Mapping[str, str]
    """The file in `studies/` of each preset, by name; `full` is among them."""
    preset_path: Callable[[str], Path]
    """Where that file is; SettingsError names the nearest preset."""
    resolve: Callable[..., dict[str, Setting]]
    """Settings in layers: resolve(command_line=, study_file=, preset=, environ=)."""
    on_this_machine: Callable[[Settings, str], Mapping[str, Setting]]
    """Of settings with a preset, those that depend on the machine, as they are here."""
    spelled_out: Callable[[Settings], Mapping[str, Any]]
    """Values of settings that a file which stands by itself must give, where the default leaves them to the study."""


def _planned(name: str) -> KindSettings:
    kind = planned_kind(name)

    def spelled_out(resolved: Settings) -> Mapping[str, Any]:
        return {"spaces": spaces_here(resolved)} if "spaces" in resolved else {}

    return KindSettings(
        question=kind.question,
        described=lambda: study_settings.described_settings(kind.study),  # type: ignore[arg-type]  # hashable
        presets=study_settings.presets(name),
        preset_path=lambda preset: study_settings.preset_path(name, preset),
        resolve=partial(study_settings.resolve, kind.study),
        on_this_machine=lambda resolved, _preset: on_this_machine(kind.study, resolved),
        spelled_out=spelled_out,
    )


KIND_SETTINGS: Mapping[str, KindSettings] = {
    OPTIMIZERS: KindSettings(
        question="Which tuned configuration trains best: each optimizer is tuned, then confirmed on fresh seeds.",
        described=settings.described_settings,
        presets=settings.PRESET_FILES,
        preset_path=settings.preset_path,
        resolve=settings.resolve,
        on_this_machine=lambda resolved, _preset: device_and_workers(resolved),
        spelled_out=lambda resolved: {"spaces": spaces_of(resolved["optimizers"].value, resolved["spaces"].value, {})},
    ),
    LOADERS: KindSettings(
        question="Which settings of the data loader feed the network best, and what limits it.",
        described=loader_settings.described_settings,
        presets=loader_settings.PRESET_FILES,
        preset_path=loader_settings.preset_path,
        resolve=loader_settings.resolve,
        on_this_machine=loader_prepare.on_this_machine,
        spelled_out=lambda resolved: {"size": input_geometry(resolved["network"].value, resolved["size"].value).size},
    ),
    **{name: _planned(name) for name in PLANNED},
}
"""By kind, as `bench.kinds.names` lists them."""


def kind_settings(kind: str, where: str) -> KindSettings:
    """The settings of a kind; SettingsError, after ``where``, names the nearest and all."""
    if kind not in KIND_SETTINGS:
        raise SettingsError(
            f"{where}: there is no such kind.{nearest(kind, KIND_SETTINGS)} There are: {', '.join(KIND_SETTINGS)}."
        )
    return KIND_SETTINGS[kind]
