"""Output of `posebench train`: metrics.jsonl, progress lines and the commands to try next; its stop on Ctrl-C."""

import json
import os
import shlex
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from posemodel.atomic_write import atomic_path
from posemodel.config import DataFiles, TrainSettings
from posemodel.launch import is_rank_zero

STOPPING = b"stopping after this step; --resume goes on (Ctrl-C again to stop at once)\n"


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns True once Ctrl-C or SIGTERM asked the loop to save its state and stop.

    A second Ctrl-C ends the process (`bench.engines.interruption.handle_signals`). The handler writes past Python's
    streams, which refuse a call within another (RuntimeError) when the signal arrives during a print.
    """
    is_asked = False

    def request_stop(_signal: int, _frame: Any) -> None:
        nonlocal is_asked
        if is_asked:
            return
        is_asked = True
        if is_rank_zero():
            with suppress(OSError):  # a stderr that is closed
                os.write(2, STOPPING)

    caught = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    previous_handlers = {number: signal.signal(number, request_stop) for number in caught}
    try:
        yield lambda: is_asked
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


class MetricsFile:
    """The file metrics.jsonl: one JSON document per line.

    A resumed run repeats some steps, so its first line replaces all lines of that step and later steps. (Keeping the
    old lines would lose a validation that was interrupted after the line of its step's loss was written.)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = False

    def add(self, document: dict[str, Any]) -> None:
        """Append a line; the document must have the key `step`."""
        if not self._begun:
            self._cut(document["step"])
            self._begun = True
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(document) + "\n")

    def _cut(self, step: int) -> None:
        """Keep only the lines of earlier steps; a line that a kill cut short was of the last step, and is dropped."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        complete = [line for line in lines if line.startswith("{") and line.endswith("}")]
        with atomic_path(self.path) as temporary:
            temporary.write_text(
                "".join(f"{line}\n" for line in complete if json.loads(line)["step"] < step), encoding="utf-8"
            )


def line(step: int, metrics: dict[str, float]) -> str:
    """Return the progress line of a step."""
    names = ("loss", "val_loss", "ap", "images_per_s", "train_seconds")
    return f"step {step}: " + ", ".join(f"{name} {metrics[name]:.4g}" for name in names if name in metrics)


def next_commands(checkpoint: Path, settings: TrainSettings) -> list[str]:
    """Return lines with the commands that score a training's checkpoint and use it on pictures."""
    score = ["posebench", "eval", "--checkpoint", str(checkpoint)]
    files = {name: getattr(settings.files, name) for name in DataFiles.model_fields}
    # Without a folder, `TrainSettings` puts the first annotation file in its place.
    folder = settings.data if settings.data != settings.files.first_annotations else None
    for name, path in {"data": folder, **files}.items():
        score += [f"--{name.replace('_', '-')}", str(path)] if path is not None else []
    score += ["--split", settings.val_split] if settings.val_split != "val" else []
    score += ["--skip-bad"] if settings.skip_bad else []
    score += ["--labelled-only"] if settings.labelled_only else []
    predict = ["posebench", "predict", "--checkpoint", str(checkpoint), "--draw", "drawn"]
    return [f"Score it: {shlex.join(score)}", f"Try it on pictures: {shlex.join(predict)} IMAGE"]
