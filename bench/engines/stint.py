"""Limits of what one command takes of a study: a number of trials, and the time at which it will have left.

Kept in a folder of the command, so that its worker processes share them and one that is killed loses nothing.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

CLOSED = "closed"
"""File that ends the stint for all worker processes."""


@dataclass(frozen=True)
class Stint:
    """What the worker processes of one command may take; picklable."""

    folder: Path
    """Folder of this command alone, which exists; it holds a file for each trial that was taken."""
    trials: int | None = None
    """Number of trials that may be taken and run; None: any number."""
    until: float | None = None
    """Time at which the command ends, in seconds since the epoch; None: when the study does."""
    can_go_on: bool = False
    """True if an interrupted trial goes on elsewhere: then trials are also begun that will not end in time."""
    mean_s: Mapping[str, float] = field(default_factory=dict)
    """Mean seconds of the study's ended trials, by phase."""

    def is_over(self) -> bool:
        """Return True if no further trial may be taken."""
        return (self.folder / CLOSED).exists() or self.has_taken_all()

    def has_taken_all(self) -> bool:
        """Return True if all trials that may be taken have been taken."""
        return self.trials is not None and self.taken() >= self.trials

    def taken(self) -> int:
        """Return the number of trials taken so far."""
        return sum(each.name != CLOSED for each in self.folder.iterdir())

    def close(self) -> None:
        """End the stint: the trials that run are the last."""
        (self.folder / CLOSED).touch()

    def take(self, phase: str, mean_s: float | None = None) -> bool:
        """Return True if a trial may be begun, which then counts as taken; a trial that would end too late closes the
        stint.

        ``mean_s``: mean seconds of trials of its phase that this process has run; None if it has run none.
        """
        expected_s = self.mean_s.get(phase) if mean_s is None else mean_s
        late = self.until is not None and expected_s is not None and time.time() + expected_s > self.until
        if late and not self.can_go_on:
            self.close()
        if self.is_over():
            return False
        taken = {each.name for each in self.folder.iterdir()}
        for number in count() if self.trials is None else range(self.trials):
            if str(number) in taken:
                continue
            try:
                (self.folder / str(number)).touch(exist_ok=False)
            except FileExistsError:
                continue  # another worker process has just taken it
            return True
        return False

    def give_back(self) -> None:
        """Let one of the taken trials no longer count: it did not have to be run."""
        for file in self.folder.iterdir():
            if file.name == CLOSED:
                continue
            try:
                file.unlink()
            except FileNotFoundError:
                continue  # another worker process has just given it back
            return
