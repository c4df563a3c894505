"""Build the `posebench train` command that repeats a trial, for a report to show."""

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.optimizers import optimizer_entry
from bench.optimizers.entry import RATE, WEIGHT_DECAY
from bench.optimizers.weight_decay import decay_of
from bench.report.wording import ap_text, loss_text
from bench.settings.weights_files import WEIGHTS
from bench.trials.spec import TrialSpec
from posemodel.config import DataFiles, TrainSettings

LINE = 74
"""Maximum number of characters of a line; less than 80, because the terminal output indents the command."""
DEFAULTS = TrainSettings.model_fields


def train_command(trial: TrialSpec, data: Path, *, threads: int | None = None) -> str:
    """Return the command that repeats a trial, values unrounded; empty for workloads other than `pose`.

    It always has the options on which the result depends most; other options only if they differ from the command's
    defaults. Options that do not change a result are left out, such as the number of evaluations during training.

    Args:
        trial: The trial.
        data: The folder of the data set.
        threads: Number of torch threads that it trained with; None: they do not matter, or are not known.
    """
    run = trial.train
    if not isinstance(run, TrainSettings):
        return ""
    loader = run.loader
    options = [
        *file_options(run.files),
        ["--network", run.network],
        *([["--size", str(run.size)]] if run.size is not None else []),
        *_weights(run),
        *_optimizer(trial),
        ["--batch-size", str(loader.batch_size)],
        *([["--num-workers", str(loader.num_workers)]] if loader.num_workers else []),
        *([["--pin-memory"]] if loader.pin_memory else []),
        *([["--persistent-workers"]] if loader.persistent_workers else []),
        *([["--prefetch-factor", str(loader.prefetch_factor)]] if loader.prefetch_factor is not None else []),
        *([["--start-method", loader.start_method]] if loader.start_method is not None else []),
        *([["--steps", str(run.steps)]] if run.steps is not None else []),
        *([["--seconds", _exact(run.seconds)]] if run.seconds is not None else []),
        *([["--schedule", run.schedule]] if run.schedule != _schedule_without_option(trial) else []),
        ["--precision", run.precision],
        *([["--foreground-weight", _exact(run.foreground_weight)]] if run.foreground_weight != 1 else []),
        *([] if run.augment.enabled else [["--no-augment"]]),
        *([["--exif", run.exif]] if run.exif != DEFAULTS["exif"].default else []),
        *([["--skip-bad"]] if run.skip_bad else []),
        *([["--val-split", run.val_split]] if run.val_split != DEFAULTS["val_split"].default else []),
        *([["--val-images", str(run.val_images)]] if run.val_images is not None else []),
        *([["--hold-out-select"]] if run.hold_out_select else []),
        ["--seed", str(run.seed)],
        *([["--device", run.device]] if run.device != DEFAULTS["device"].default else []),
        *([["--threads", str(threads)]] if threads is not None else []),
    ]
    return command_lines(data, options)


def file_options(files: DataFiles) -> list[list[str]]:
    """Return the options of files that were given by path, and of the category, if one was."""
    named = {name: getattr(files, name) for name in DataFiles.model_fields}
    texts = {
        name: value if isinstance(value, str) else file_text(value)
        for name, value in named.items()
        if value is not None
    }
    return [[f"--{name.replace('_', '-')}", text] for name, text in texts.items()]


def command_lines(data: Path, options: Sequence[Sequence[str]]) -> str:
    r"""Return `posebench train --data DIR ...` in lines that end in ` \`, each option beside its value.

    A folder below the current one is given as a relative path.
    """
    shown = file_text(_from_here(data))
    lines = ["posebench train"]
    for option in map(shlex.join, (("--data", shown), *options)):
        if len(lines[-1]) + 1 + len(option) + 2 <= LINE:
            lines[-1] += f" {option}"
        else:
            lines.append(f"    {option}")
    return " \\\n".join(lines)


def file_text(path: Path) -> str:
    """Return a path as an option's value; a folder called `5` becomes `./5`, so that it is not read as a number."""
    text = path.as_posix()
    return f"./{text}" if text.isdigit() else text


def cpu_threads(trained_with: Any, device: Any) -> int | None:
    """Return the thread count of a trial on a CPU, where it changes rounding; ``trained_with``: the recorded count.

    None on other devices, or if the count is not known.
    """
    if device != "cpu" or not isinstance(trained_with, int | float) or not trained_with >= 1:  # an empty cell is NaN
        return None
    return int(trained_with)


def repeat_note(trial: TrialSpec, ap: float | None, *, loss: float | None = None) -> str:
    """Return a sentence on the result that the pasted command should reproduce; empty if the trial has no AP.

    ``ap``: the trial's AP; ``loss``: its validation loss, if the study is judged by that.
    """
    if ap is None or not math.isfinite(ap):
        return ""
    number, reached = "AP", f"AP {ap_text(ap)}"
    if loss is not None:
        number, reached = "loss", f"validation loss {loss_text(loss)}, {reached}"
    what = f"confirm trial of seed {trial.seed}: {reached} on the report split"
    if trial.run.seconds is not None:
        return (
            f"Trains as the {what}. A budget in seconds gives a different number of steps each time, so the {number} "
            "will differ."
        )
    if trial.run.device != "cpu":
        return f"Repeats the {what}, up to the rounding of a GPU."
    return f"Repeats the {what}, on the same machine and versions."


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _weights(run: TrainSettings) -> list[list[str]]:
    """Return the option of the weights that training starts from."""
    named = {name: getattr(run, name) for name in WEIGHTS}
    return [
        [f"--{name.replace('_', '-')}", file_text(_from_here(file))] for name, file in named.items() if file is not None
    ]


def _optimizer(trial: TrialSpec) -> list[list[str]]:
    """Return the options of the optimizer: its learning rate, and hyperparameters that differ from its defaults."""
    entry = optimizer_entry(trial.builds)
    decay = decay_of(trial.hyperparameters, trial.weight_decay)
    resolved = dict(entry.resolve({**trial.hyperparameters, WEIGHT_DECAY: decay}))
    rate, decay = resolved.pop(RATE, None), resolved.pop(WEIGHT_DECAY, 0)
    defaults: Mapping[str, Any] = entry.hyperparameters
    others = {name: value for name, value in resolved.items() if value != defaults.get(name)}
    return [
        ["--optimizer", trial.builds],
        *([["--lr", _exact(rate)]] if rate is not None else []),
        *([["--weight-decay", _exact(decay)]] if decay else []),
        *(["-O", f"{name}={_value(value)}"] for name, value in others.items()),
    ]


def _schedule_without_option(trial: TrialSpec) -> str:
    """Return the schedule that `posebench train` chooses by itself for the trial's optimizer."""
    default: str = DEFAULTS["schedule"].default
    return optimizer_entry(trial.builds).schedule or default


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"({','.join(map(_value, value))})"
    return _exact(value) if isinstance(value, int | float) else str(value)


def _exact(value: float) -> str:
    """Return the shortest text that is parsed as exactly the same number."""
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)
