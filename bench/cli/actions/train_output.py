"""What `posebench train` leaves and says on the way: metrics.jsonl, lines of progress, an end in good order."""

import json
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.cli.output import log
from posemodel.atomic_write import replacing
from posemodel.launch import is_first


@contextmanager
def stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C or SIGTERM asks the loop to save its state and stop; a second Ctrl-C ends the process (`handled`)."""
    asked: list[bool] = []

    def ask(_signal: int, _frame: Any) -> None:
        if asked:
            return
        asked.append(True)
        if is_first():
            log("stopping after this step; --resume goes on (Ctrl-C again to stop at once)")

    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heard}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class MetricsFile:
    """One JSON document a line. A resumed run takes some steps again: its first line replaces those from there on.

    (Skipping what is known would lose a validation that was cut short, since the line of its step's loss is there.)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = False

    def add(self, document: dict[str, Any]) -> None:
        """Append a line that holds `step`."""
        if not self._begun:
            self._cut(document["step"])
            self._begun = True
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(document) + "\n")

    def _cut(self, step: int) -> None:
        """Keep the lines of earlier steps; one that a kill has torn was of the last step, and goes."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        whole = [line for line in lines if line.startswith("{") and line.endswith("}")]
        with replacing(self.path) as temporary:
            temporary.write_text(
                "".join(f"{line}\n" for line in whole if json.loads(line)["step"] < step), encoding="utf-8"
            )


def line(step: int, metrics: dict[str, float]) -> str:
    """What a person reads of a step."""
    names = ("loss", "val_loss", "ap", "images_per_s", "train_seconds")
    return f"step {step}: " + ", ".join(f"{name} {metrics[name]:.4g}" for name in names if name in metrics)
