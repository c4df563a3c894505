"""The live progress table of a study, shown by the study itself and by `posebench study status`."""

import socket
import time
from collections.abc import Iterable
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.cli.output import shown_text
from bench.report.names import MARK
from bench.report.own_schedules import schedule_note
from bench.report.text import plain
from bench.report.wording import duration_text
from bench.storage.visible import visible
from bench.study.progress import Progress, seconds_left
from bench.trials.own_schedules import differing
from bench.trials.progress import RunningTrial
from bench.trials.status import FAULTS, Status

RUNNING_SHOWN = 4
"""Maximum number of running trials that get a line each; the others are only counted."""
STOPPING = "stopping: running trials go back to the queue (Ctrl-C again: end at once)"


def progress_table(progress: Progress, *, note: str = "") -> RenderableType:
    """Return the study's state, optimizers, phases, time left and running trials, and ``note`` as the last line."""
    now = time.time()
    lines: list[str | Table] = [f"{progress.size.study}: {_state(progress)}", _table(progress)]
    schedules = schedule_note(_other_schedules(progress), {}, progress.size.schedule or "")
    lines += [*([plain(schedules)] if schedules else []), *phase_lines(progress)]
    left = left_text(progress, now)
    lines += [f"{'left:':9}{left}"] if left else []
    lines += [*_running_lines(progress, now), *([note] if note else [])]
    return Group(*(_wrapped(line) if isinstance(line, str) else line for line in lines))


def headline(progress: Progress, now: float) -> str:
    """Return one line with name, state, trials done and running, and time left."""
    parts = [f"{len(progress.done)} of {progress.size.planned} trials done"]
    parts += [f"{len(progress.running_trials)} running"] if progress.running_trials else []
    left = left_text(progress, now)
    parts += [f"left: {left}"] if left else []
    return f"{progress.size.study}: {_state(progress)}, {', '.join(parts)}"


def left_text(progress: Progress, now: float) -> str:
    """Return the time left, as `about 12 min`; empty if the study is complete.

    If no process works on the study, it is the time that one worker would need.
    """
    if not progress.waiting and not progress.running_trials:
        return "the report" if progress.active else ""
    seconds = seconds_left(progress, now)
    if seconds is None:
        return "not known yet"
    return f"about {duration_text(seconds)}" + ("" if progress.active else " with one worker")


def phase_lines(progress: Progress) -> list[str]:
    """Return a line for each phase: trials done (of these diverged, pruned, skipped, failed), running and waiting.

    Then a line on what a worker that died, or a server that is away, has left.
    """
    lines = []
    for phase in progress.size.phases:
        done = [trial for trial in progress.done.values() if trial.phase == phase]
        running = sum(trial.phase == phase for trial in progress.running_trials.values())
        planned = progress.size.planned_of(phase)
        ends = (
            ("diverged", (Status.DIVERGED,)),
            ("pruned", (Status.PRUNED,)),
            ("skipped", (Status.SKIPPED,)),
            ("failed", FAULTS),
        )
        bad = [(sum(trial.status in statuses for trial in done), word) for word, statuses in ends]
        among = ", ".join(f"{count} {word}" for count, word in bad if count)
        parts = [f"{len(done)} of {planned} done" + (f" ({among})" if among else "")]
        parts += [f"{running} running"] if running else []
        waiting = max(planned - len(done) - running, 0)
        parts += [f"{waiting} waiting"] if waiting else []
        lines.append(f"{phase + ':':9}" + ", ".join(parts))
    if progress.lost:
        lines.append(f"{progress.lost} of those waiting were left by a worker that died; the next worker takes them")
    if progress.away_since is not None:
        since = datetime.fromtimestamp(progress.away_since).astimezone()
        number = progress.waiting_records
        records = "1 record waits" if number == 1 else f"{number} records wait"
        lines.append(f"{records} for MLflow (away since {since:%H:%M})")
    return lines


def running_text(trial: RunningTrial, now: float) -> str:
    """Return a line on a running trial: which one, how far, for how long, in which process."""
    since = duration_text(max(now - trial.since, 0.0))
    where = f"process {trial.pid}" + (f" on {trial.host}" if trial.host != socket.gethostname() else "")
    return f"{trial.phase} {trial.optimizer} seed {trial.seed}, {_advance_text(trial)}, for {since}, {where}"


def _advance_text(trial: RunningTrial) -> str:
    """Return `done/all` steps or, if the budget is in seconds, the percentage of it that is used."""
    if trial.seconds is None:
        return f"step {trial.step} of {trial.steps}" if trial.step is not None else f"{trial.steps} steps"
    if trial.step is None or trial.train_seconds is None:
        return f"{trial.seconds:g} s of training"
    share = min(trial.train_seconds / trial.seconds, 1.0)
    return f"step {trial.step}, {share:.0%} of {trial.seconds:g} s"


def _running_lines(progress: Progress, now: float) -> Iterable[str]:
    trials = sorted(progress.running_trials.values(), key=lambda trial: trial.since)
    yield from (f"{'now:':9}{running_text(trial, now)}" for trial in trials[:RUNNING_SHOWN])
    if len(trials) > RUNNING_SHOWN:
        yield f"{'':9}and {len(trials) - RUNNING_SHOWN} more"


def _state(progress: Progress) -> str:
    if progress.status == "running":
        return f"running with {progress.workers} workers" if progress.workers > 1 else "running"
    return "unfinished, nobody works on it" if progress.status == "unfinished" else "complete"


def _wrapped(line: str) -> Text:
    text = shown_text(visible(line))
    text.overflow = "fold"
    return text


def _table(progress: Progress) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("optimizer", overflow="fold")
    for name in (*progress.size.columns, "now", "diverged", "failed"):
        table.add_column(name, justify="right", no_wrap=True)
    others = _other_schedules(progress)
    for row in progress.size.rows(progress):
        table.add_row(
            shown_text(f"{row.name}{MARK if row.name in others else ''}"),
            *row.cells(),
            *(str(count or "-") for count in (row.running, row.diverged, row.failed)),
        )
    return table


def _other_schedules(progress: Progress) -> dict[str, str]:
    """Return the schedules of optimizers that differ from the study's."""
    return differing(progress.size.own_schedules, progress.size.schedule)
