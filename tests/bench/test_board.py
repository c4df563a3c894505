"""The table that fills in, and the lines on a pipe: what they say, and that they fit a narrow terminal."""

import io
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from bench.cli import live
from bench.cli.actions.study_status import _print
from bench.cli.output import log_wrapped, print_table
from bench.cli.progress_table import headline, left_text, progress_table, running_text
from bench.engines.events import PhaseBegan, Stopping, TrialBegan, TrialEnded, WorkerDied
from bench.kinds.optimizers.size import Size
from bench.report.wording import duration_text
from bench.study.progress import Progress
from bench.trials.progress import EndedTrial, RunningTrial
from bench.trials.record import make_record
from bench.trials.status import Status
from tests.support.plans import first_trials

SIX = ("sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound")


def drawn(progress, *, width=80, note=""):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(progress_table(progress, note=note))
    return console.file.getvalue()


@pytest.fixture
def size(make_spec):
    return Size.of_spec(
        make_spec(
            optimizers=SIX, tunings=1, trials=4, seeds=5, controls=True, name="optimizers-small-synthetic-800-seed0"
        )
    )


def running_trials(number, step=None):
    return RunningTrial(f"t{number}", "tune", "adabound", 0, 60, time.time() - 75, "far-away", 4194304 + number, step)


def test_a_full_board_fits_a_terminal_of_80_columns(size):
    done = {str(n): EndedTrial(str(n), "tune", SIX[n % 6], Status.COMPLETE, 0.1234, 1234.5, 10.0) for n in range(18)}
    done |= {
        "d": EndedTrial("d", "tune", "sgd", Status.DIVERGED),
        "f": EndedTrial("f", "tune", "adam", Status.OUT_OF_MEMORY),
    }
    trials = {f"t{n}": running_trials(n, step=10 * n) for n in range(6)}
    shown = drawn(Progress(size, done, trials, lost=1, active=True, workers=12), note="a word")
    lines = shown.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) <= 24, "and so many rows"
    assert lines[0] == "optimizers-small-synthetic-800-seed0: running with 12 workers"
    assert [line.split()[0] for line in lines[2:8]] == list(SIX)
    assert "tune:    20 of 24 done (1 diverged, 1 failed), 6 running" in shown
    assert "confirm: 0 of 35 done, 35 waiting" in shown
    assert "left:    about" in shown
    assert "now:     tune adabound seed 0, step 10 of 60, for 1 min, process 4194305 on" in shown
    assert "and 2 more" in shown
    assert "left by a worker that died" in shown
    assert lines[-1] == "a word"
    assert "\x1b" not in shown


@pytest.mark.parametrize("width", [40, 60, 200])
def test_no_line_is_longer_than_the_terminal_is_wide(size, width):
    shown = drawn(Progress(size, {}, {"t0": running_trials(0)}, active=True, workers=1), width=width)
    assert all(len(line) <= width for line in shown.splitlines())


def test_time_left_is_said_in_words(size):
    now = time.time()
    done = {"a": EndedTrial("a", "tune", "sgd", Status.COMPLETE, seconds=10.0, train_seconds=10.0, eval_seconds=0.0)}
    # 23 tune trials and 35 confirm trials of 10 s (as many steps).
    assert left_text(Progress(size, done, active=True, workers=1), now) == "about 10 min"
    assert left_text(Progress(size, done), now) == "about 10 min with one worker"
    assert left_text(Progress(size, {}, active=True, workers=1), now) == "not known yet"
    everything = {
        str(n): EndedTrial(str(n), "tune" if n < 24 else "confirm", "sgd", Status.COMPLETE) for n in range(59)
    }
    assert left_text(Progress(size, everything, active=True), now) == "the report"
    assert left_text(Progress(size, everything), now) == ""
    assert headline(Progress(size, everything), now).endswith("seed0: complete, 59 of 59 trials done")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (90, "2 min"),
        (3569, "59 min"),
        (3571, "1 h"),
        (3600 + 20 * 60, "1 h 20 min"),
        (86400 - 1, "1 day"),
        (36 * 3600, "1 day 12 h"),
        (49 * 3600, "2 days 1 h"),
    ],
)
def test_durations_have_at_most_two_units(seconds, text):
    assert duration_text(seconds) == text


def test_on_a_pipe_a_line_a_trial_and_nothing_else(make_spec, capsys):
    spec = make_spec()
    trial = first_trials(spec)[0]
    with live.live_display(Progress(Size.of_spec(spec), active=True, workers=2)) as display:
        display.on_event(PhaseBegan("tune", 0, 4))
        display.on_event(TrialBegan(RunningTrial(trial.id, "tune", "sgd", 0, 2, time.time(), "here", 7)))
        record = make_record(trial, Status.COMPLETE, steps_done=2, metrics={"ap": 0.25, "images_per_s": 12.34})
        display.on_event(TrialEnded(record, 60.0, 1))
        display.on_event(WorkerDied(8))
        display.on_event(Stopping())
    out, err = capsys.readouterr()
    assert out == ""
    going_on, ended, died, stopping = err.splitlines()
    assert going_on == "continuing: 0 of 4 tune trials are already recorded"
    assert ended.startswith("[1/8] tune sgd (")
    # Three more tune trials and four confirm trials of 60 s on two workers.
    assert ended.endswith("seed 0: complete AP 0.250 12.3 images/s (left: about 4 min)")
    assert died == "worker process 8 died; a new one replaces it"
    assert "Ctrl-C again" in stopping


def test_a_trial_in_seconds_shows_the_share_of_its_time():
    trial = RunningTrial("t", "tune", "adam", 0, None, 0.0, "far-away", 7, seconds=60.0)
    assert running_text(trial, 42.0) == "tune adam seed 0, 60 s of training, for 42 s, process 7 on far-away"
    moved = replace(trial, step=120, train_seconds=20.4)
    assert "seed 0, step 120, 34% of 60 s, for" in running_text(moved, 42.0)
    assert "100% of 60 s" in running_text(replace(moved, train_seconds=60.2), 42.0)


def test_controls_have_rows_and_pruned_trials_are_counted(size):
    done = {str(n): EndedTrial(str(n), "tune", "sgd", Status.PRUNED) for n in range(3)}
    shown = drawn(Progress(size, done, active=True), width=100)
    assert "tune:    3 of 24 done (3 pruned), 21 waiting" in shown
    (control,) = [line for line in shown.splitlines() if line.startswith("adabound (limit)")]
    assert control.split()[2:5] == ["-", "-", "0/5"]


@pytest.mark.parametrize(("terminal", "shown"), [(True, "one\ntwo-three\nfour \\n\n/a/long/path\n"), (False, None)])
def test_a_long_message_is_wrapped_between_words_on_a_terminal_only(terminal, shown, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    log_wrapped("one two-three four \n /a/long/path")
    assert capsys.readouterr().err == (shown or "one two-three four \\n /a/long/path\n")


@pytest.mark.parametrize(("columns", "length"), [(40, 150), (200, 190)])
def test_a_table_on_a_pipe_is_at_least_160_columns_wide(columns, length, capsys, monkeypatch, size):
    monkeypatch.setenv("COLUMNS", str(columns))
    name = "n" * length
    print_table(["name"], [[name]])
    _print(Progress(replace(size, study=name)))
    table, headed = capsys.readouterr().out.split("└", 1)
    assert f" {name} " in table
    assert f"{name}: " in headed


def test_a_line_above_the_table_is_left_to_the_terminal_to_wrap():
    console = Console(file=io.StringIO(), width=20)
    display = live.Display(None)
    display.live = SimpleNamespace(console=console)
    display.say("one two three [red] four five six")
    assert console.file.getvalue() == "one two three [red] four five six\n"
