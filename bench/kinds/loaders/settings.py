"""Where a loader study's settings come from: command line > environment > study file > preset > this machine."""

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import studies
from bench.kinds.loaders.spec import AROUND_AXES, AXES, LOADERS, LoaderSpec
from bench.kinds.optimizers.settings import known_variables
from bench.measure.limits import Limits
from bench.settings.declared import Described, described
from bench.settings.layers import AUTO, DEFAULT, Setting, checked, given_layers, listed, refuse_unknown_variables
from bench.settings.shared import OF_EVERY_KIND
from bench.settings.validation import nearest
from posemodel.errors import SettingsError

PRESET_FILES = {
    "smoke": "loaders-smoke.toml",
    "small": "loaders-small.toml",
    "full": "loaders.toml",
    "advice": "loaders-advice.toml",
    "advice-gpu": "loaders-advice-gpu.toml",
}
ADVICE_PRESETS = ("advice", "advice-gpu")
"""Of `posebench loader advise`, for a CPU and for a GPU."""
ADVICE_WORKERS = 4
"""Numbers of workers that fit into two minutes."""
WORKER_BYTES = 1_000_000_000
"""Memory for each worker that the default tries; the study itself predicts it from a measurement."""
MOST_WORKERS = 16
"""That the default tries; more are a flag away."""
_DERIVED = ("kind", "data_digest", "preset")
_OUTSIDE = {
    **OF_EVERY_KIND,
    "num_workers": Described(
        tuple[int, ...] | Literal["auto"],
        AUTO,
        "Numbers of worker processes to try; 0 loads in the training process itself. auto: 0, 1, 2, 4 ... up to the "
        "cores that this process may use.",
    ),
    "batch_size": Described(
        tuple[int, ...] | Literal["auto"],
        AUTO,
        "Images in a batch, each to be tried. auto: 4, 8 and 16 on a CPU, 8, 16 and 32 on a GPU.",
    ),
    "pin_memory": Described(
        tuple[bool, ...],
        (True, False),
        "Whether batches are put into pinned memory, each to be tried. Without an accelerator pinning does nothing, "
        "and is not measured.",
    ),
}
"""Settings that a LoaderSpec holds resolved, or not at all."""
TRUTHS = ("pin_memory", "persistent_workers")
"""Axes whose values are true and false."""


@cache
def described_settings() -> Mapping[str, Described]:
    """Every setting of a loader study."""
    from posemodel.network import NETWORKS  # PyTorch takes seconds

    return described(LoaderSpec, _OUTSIDE, _DERIVED, {"network": NETWORKS})


def known_settings() -> dict[str, Any]:
    """Every setting of a loader study with its default."""
    return {name: setting.default for name, setting in described_settings().items()}


def resolve(
    *,
    command_line: Mapping[str, Any],
    study_file: Path | None,
    preset: str,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Setting]:
    """Layer the settings. ``command_line`` holds only what was given (None: not given); lists may be text: `0,1,2`.

    Raises SettingsError that names the file, the line, the field and the nearest valid name.
    """
    known = known_settings()
    refuse_unknown_variables(known_variables(), environ)
    layers = given_layers(
        LOADERS,
        known,
        preset=preset,
        preset_file=preset_path(preset),
        study_file=study_file,
        environ=environ,
        command_line=command_line,
    )
    settings = {name: Setting(value, DEFAULT) for name, value in known.items()}
    for layer in layers:
        settings |= {name: _checked(name, value, origin) for name, (value, origin) in layer.items()}
    return settings


def preset_path(preset: str) -> Path:
    """The file that ships for a preset."""
    if preset not in PRESET_FILES:
        raise SettingsError(
            f"preset: there is no preset {preset!r}.{nearest(preset, PRESET_FILES)} There are: "
            f"{', '.join(PRESET_FILES)}."
        )
    return Path(studies.__file__).with_name(PRESET_FILES[preset])


def default_workers(found: Limits, *, few: bool = False) -> tuple[int, ...]:
    """0, 1, 2, 4 ... up to the cores that this process may use, and as many as its memory carries.

    By the memory that it may have, not by what is free at the moment: the same command must ask the same tomorrow.
    With ``few`` only ADVICE_WORKERS of them, spread over the range.
    """
    most = max(1, min(int(found.cores), MOST_WORKERS, found.memory_bytes // WORKER_BYTES))
    powers = [2**power for power in range(most.bit_length()) if 2**power <= most]
    wanted = sorted({0, *powers, most})
    if few and len(wanted) > ADVICE_WORKERS:
        wanted = sorted({0, most // 4, most // 2, most})
    return tuple(wanted)


def default_batch_sizes(device: str) -> tuple[int, ...]:
    """What people try: an accelerator takes more at once."""
    return (4, 8, 16) if device == "cpu" else (8, 16, 32)


def _checked(name: str, value: Any, origin: str) -> Setting:
    if name in (*AXES, *AROUND_AXES):
        value = listed(value, truths=name in TRUTHS)
    return checked(described_settings()[name].type, name, value, origin)
