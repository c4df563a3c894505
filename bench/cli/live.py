"""Live display of a running study: a table on a terminal, a line per trial on a pipe."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from bench.cli.output import log, log_text, shown_text
from bench.cli.progress_table import STOPPING, left_text, progress_table
from bench.engines.events import Event, Measuring, PhaseBegan, Stopping, TrialEnded, WorkerDied
from bench.report.cells import settings_text
from bench.study.progress import Progress, StudySize, progress_after
from bench.trials.record import Record
from bench.trials.status import FAULTS

REFRESHES_PER_S = 1
"""Redraws per second; each takes some 5 ms from the training."""


class Display:
    """Follows a study's events and prints them on stderr."""

    def __init__(self, progress: Progress | None) -> None:
        """``progress``: state of the study before it begins; None for a study that has no table, only lines."""
        self.progress = progress
        self.measured = 0
        self.live: Live | None = None
        self.note = ""

    def on_event(self, event: Event) -> None:
        """Update the progress with an event and show it."""
        if isinstance(event, Measuring):
            self.measured = event.done
            log(f"[{event.done}] {event.text}")
        if self.progress is not None:
            self.progress = progress_after(self.progress, event)
            self._show(event, self.progress)

    def _show(self, event: Event, progress: Progress) -> None:
        match event:
            case PhaseBegan() if event.new < event.planned:
                ended = sum(trial.phase == event.phase for trial in event.done.values())
                self.say(f"continuing: {ended} of {event.planned} {event.phase} trials are already recorded")
            case TrialEnded() if self.live is None or event.record.status in FAULTS:
                line = trial_line(event.record, event.ended, progress.size)
                left = left_text(progress, time.time())
                self.say(f"{line} (left: {left})" if progress.waiting or progress.running_trials else line)
            case WorkerDied():
                where = f" on {event.host}" if event.host else ""
                self.say(f"worker process{f' {event.pid}' if event.pid else ''}{where} died; a new one replaces it")
            case Stopping():
                if self.live is None:
                    self.say(STOPPING)
                else:
                    self.note = STOPPING
                    self.live.refresh()

    def recorded_text(self) -> str:
        """Describe the records so far, which are kept if the study stops now."""
        if self.progress is None:
            return f"{self.measured} measurements are recorded"
        of_all = f" of {self.progress.size.planned}" if self.progress.size.plan_is_known else ""
        return f"{len(self.progress.done)}{of_all} trials are recorded"

    def say(self, line: str) -> None:
        """Print a line that stays, above the table if there is one."""
        if self.live is None:
            log_text(line)
        else:
            self.live.console.print(shown_text(line), soft_wrap=True)


@contextmanager
def live_display(progress: Progress | None) -> Iterator[Display]:
    """Show a study while the block runs; a terminal's live table is erased at the end."""
    display = Display(progress)
    console = Console(stderr=True)
    if progress is None or not sys.stderr.isatty() or console.is_dumb_terminal:
        yield display
        return
    live = Live(
        console=console,
        get_renderable=lambda: "" if display.progress is None else progress_table(display.progress, note=display.note),
        refresh_per_second=REFRESHES_PER_S,
        transient=True,
        redirect_stdout=False,
    )
    with live:
        display.live = live
        try:
            yield display
        finally:
            display.live = None


def trial_line(record: Record, ended: int, size: StudySize) -> str:
    """Return the line on a trial that has ended."""
    settings = settings_text(record.hyperparameters, ())
    parts = [
        f"[{ended}/{size.planned}] {record.phase} {record.optimizer} ({settings}) seed {record.seed}:",
        str(record.status),
        size.score_text(record.metrics),
        size.speed_text(record.metrics),
        record.error,
    ]
    return " ".join(part for part in parts if part)
