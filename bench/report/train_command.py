"""The `posebench train` command that trains as a trial did: what a report gives to paste."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.optimizers import optimizer_entry
from bench.optimizers.entry import RATE, WEIGHT_DECAY
from bench.optimizers.line import number_text
from bench.optimizers.weight_decay import decay_of
from bench.trials.spec import TrialSpec
from posemodel.config import DataFiles, TrainSettings

LINE = 74
"""Characters of a line, so that it can be indented on a terminal of 80 columns."""
DEFAULTS = TrainSettings.model_fields


def train_command(trial: TrialSpec, data: Path) -> str:
    """Options that differ from the command's defaults; empty for other workloads.

    Network, input size, optimizer, rate, batch size and precision always stand there, the seed and what is scored
    never.
    ``data``: the folder of the data set.
    """
    run = trial.train
    if not isinstance(run, TrainSettings):
        return ""
    loader = run.loader
    options = [
        *file_options(run.files),
        ["--network", run.network],
        *([["--size", str(run.size)]] if run.size is not None else []),
        *_optimizer(trial),
        ["--batch-size", str(loader.batch_size)],
        *([["--num-workers", str(loader.num_workers)]] if loader.num_workers else []),
        *([["--pin-memory"]] if loader.pin_memory else []),
        *([["--persistent-workers"]] if loader.persistent_workers else []),
        *([["--prefetch-factor", str(loader.prefetch_factor)]] if loader.prefetch_factor is not None else []),
        *([["--start-method", loader.start_method]] if loader.start_method is not None else []),
        *([["--steps", str(run.steps)]] if run.steps is not None else []),
        *([["--seconds", number_text(run.seconds)]] if run.seconds is not None else []),
        *([["--schedule", run.schedule]] if run.schedule != DEFAULTS["schedule"].default else []),
        ["--precision", run.precision],
        *([["--foreground-weight", number_text(run.foreground_weight)]] if run.foreground_weight != 1 else []),
        *([] if run.augment.enabled else [["--no-augment"]]),
        *([["--exif", run.exif]] if run.exif != DEFAULTS["exif"].default else []),
        *([["--skip-bad"]] if run.skip_bad else []),
    ]
    return command_lines(data, options)


def file_options(files: DataFiles) -> list[list[str]]:
    """The options of the data set's files that were named."""
    named = {name: getattr(files, name) for name in DataFiles.model_fields}
    return [[f"--{name.replace('_', '-')}", file_text(file)] for name, file in named.items() if file is not None]


def command_lines(data: Path, options: Sequence[Sequence[str]]) -> str:
    r"""`posebench train --data DIR ...` in lines that end in ` \`, an option beside its value.

    A folder below this one is named without its path.
    """
    here = Path.cwd()
    shown = file_text(data.relative_to(here) if data.is_relative_to(here) else data)
    lines = ["posebench train"]
    for option in map(shlex.join, (("--data", shown), *options)):
        if len(lines[-1]) + 1 + len(option) + 2 <= LINE:
            lines[-1] += f" {option}"
        else:
            lines.append(f"    {option}")
    return " \\\n".join(lines)


def file_text(path: Path) -> str:
    """A path as an option's value: a folder called `5` is no number there."""
    text = path.as_posix()
    return f"./{text}" if text.isdigit() else text


def _optimizer(trial: TrialSpec) -> list[list[str]]:
    """The optimizer and its hyperparameters by its own names, where they are not its defaults; the rate always."""
    entry = optimizer_entry(trial.builds)
    decay = decay_of(trial.hyperparameters, trial.weight_decay)
    resolved = dict(entry.resolve({**trial.hyperparameters, WEIGHT_DECAY: decay}))
    rate, decay = resolved.pop(RATE, None), resolved.pop(WEIGHT_DECAY, 0)
    defaults: Mapping[str, Any] = entry.hyperparameters
    others = {name: value for name, value in resolved.items() if value != defaults.get(name)}
    return [
        ["--optimizer", trial.builds],
        *([["--lr", number_text(rate)]] if rate is not None else []),
        *([["--weight-decay", number_text(decay)]] if decay else []),
        *(["-O", f"{name}={_value(value)}"] for name, value in others.items()),
    ]


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"({','.join(map(_value, value))})"
    return number_text(value) if isinstance(value, int | float) else str(value)
