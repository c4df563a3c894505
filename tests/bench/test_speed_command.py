"""The comparison of `posebench --help` with a bare interpreter: what it runs, in which order, and what it says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.speed import command
from posemodel.errors import SettingsError


def test_both_sides_are_run_in_turns_and_the_difference_is_their_median(monkeypatch):
    seconds = {"posebench": iter([9.0, 0.25, 0.35, 0.5]), "python": iter([9.0, 0.0625, 0.05, 0.1])}
    ran = []

    def run(arguments):
        ran.append("posebench" if arguments[-1] == "--help" else "python")
        assert arguments[0] == sys.executable or Path(arguments[0]).parent == Path(sys.executable).parent
        return next(seconds[ran[-1]])

    monkeypatch.setattr(command, "_seconds", run)
    (row,) = command.measure(repeats=3)
    assert ran == ["posebench", "python", "python", "posebench"] * 2
    assert (row.name, row.repeats, row.max_ratio) == ("help", 3, None)
    assert (row.median_ms, row.yardstick_ms) == (350.0, 62.5)
    assert row.as_row()["added_s"] == pytest.approx(np.median([0.1875, 0.3, 0.4]))
    assert row.as_row()["asked_added_s"] == 0.3


def test_a_real_process_is_timed():
    (row,) = command.measure(repeats=1)
    assert min(row.median_ms, row.yardstick_ms) > 0


def test_a_command_that_fails_is_an_error():
    with pytest.raises(subprocess.CalledProcessError):
        command._seconds([sys.executable, "-c", "raise SystemExit(1)"])


def test_without_the_command_the_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(command.sysconfig, "get_path", lambda _name: str(tmp_path))
    with pytest.raises(SettingsError, match=str(tmp_path)):
        command.measure(repeats=1)
