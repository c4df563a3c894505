"""What the terminal shows while a study runs: a table that fills in; on a pipe, one line for each trial."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from bench.cli.board import STOPPING, board, left_text
from bench.cli.output import log, log_text, shown_text
from bench.engines.events import Event, Measuring, PhaseBegan, Stopping, TrialEnded, WorkerDied
from bench.report.cells import settings_text
from bench.study.progress import Progress, StudySize, after
from bench.trials.record import Record
from bench.trials.status import FAULTS

REFRESHES_PER_S = 1
"""The table is drawn beside the training: a drawing takes some 5 ms."""


class Display:
    """Follows a study by its events; what it says goes to stderr."""

    def __init__(self, progress: Progress | None) -> None:
        """Where the study stands as far as is known before it begins; None: it has no table, and tells its steps."""
        self.progress = progress
        self.measured = 0
        self.live: Live | None = None
        self.note = ""

    def on_event(self, event: Event) -> None:
        """Take an event in, and show it."""
        if isinstance(event, Measuring):
            self.measured = event.done
            log(f"[{event.done}] {event.text}")
        if self.progress is not None:
            self.progress = after(self.progress, event)
            self._show(event, self.progress)

    def _show(self, event: Event, progress: Progress) -> None:
        match event:
            case PhaseBegan() if event.new < event.planned:
                ended = sum(trial.phase == event.phase for trial in event.done.values())
                self.say(f"going on: {ended} of {event.planned} {event.phase} trials are recorded")
            case TrialEnded() if self.live is None or event.record.status in FAULTS:
                line = trial_line(event.record, event.ended, progress.size)
                left = left_text(progress, time.time())
                self.say(f"{line} (left: {left})" if progress.waiting or progress.running_trials else line)
            case WorkerDied():
                self.say(f"worker process {event.pid} died; another one takes its place")
            case Stopping():
                if self.live is None:
                    self.say(STOPPING)
                else:
                    self.note = STOPPING
                    self.live.refresh()

    def recorded_text(self) -> str:
        """What is kept if the study stops now, in words."""
        if self.progress is None:
            return f"{self.measured} measurements are recorded"
        of_all = f" of {self.progress.size.planned}" if self.progress.size.settled else ""
        return f"{len(self.progress.done)}{of_all} trials are recorded"

    def say(self, line: str) -> None:
        """A line that stays; above the table where there is one."""
        if self.live is None:
            log_text(line)
        else:
            self.live.console.print(shown_text(line), soft_wrap=True)


@contextmanager
def shown_live(progress: Progress | None) -> Iterator[Display]:
    """Show a study until the block ends: on a terminal by a live table that leaves nothing behind."""
    display = Display(progress)
    console = Console(stderr=True)
    if progress is None or not sys.stderr.isatty() or console.is_dumb_terminal:
        yield display
        return
    live = Live(
        console=console,
        get_renderable=lambda: "" if display.progress is None else board(display.progress, note=display.note),
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
    """A trial that has ended, in one line."""
    speed = record.metrics.get("images_per_s")
    settings = settings_text(record.hyperparameters, ())
    parts = [
        f"[{ended}/{size.planned}] {record.phase} {record.optimizer} ({settings}) seed {record.seed}:",
        str(record.status),
        size.score_text(record.metrics),
        f"{speed:.1f} images/s" if speed else "",
        record.error,
    ]
    return " ".join(part for part in parts if part)
