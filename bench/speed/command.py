"""Time the start of the command line: `posebench --help` against a bare Python interpreter."""

import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.speed.compare import Row, summarize
from posemodel.errors import SettingsError

MAX_ADDED_S = 0.3
"""Seconds that `posebench --help` may take beyond the bare interpreter (the table in docs/speed.md)."""


def measure(*, repeats: int = 15) -> list[Row]:
    """Time `posebench --help` against `python -c pass`, alternately; each is timed from process start to exit.

    The command is the console script installed beside this interpreter. The row `help` has the facts ``added_s``
    (median over the turns of the difference, in seconds) and ``asked_added_s`` (`MAX_ADDED_S`).
    Raises SettingsError if the script is not installed.
    """
    ours = [str(_console_script()), "--help"]
    bare = [sys.executable, "-c", "pass"]
    seconds = np.empty((repeats, 2))
    for turn in range(-1, repeats):  # the first turn fills the page cache and is not counted
        order = (0, 1) if turn % 2 else (1, 0)
        for side in order:
            elapsed_s = _seconds((ours, bare)[side])
            if turn >= 0:
                seconds[turn, side] = elapsed_s
    added_s = float(np.median(seconds[:, 0] - seconds[:, 1]))
    facts = {"added_s": added_s, "asked_added_s": MAX_ADDED_S}
    return [summarize("help", "python -c pass", 1000 * seconds[:, 0], 1000 * seconds[:, 1], **facts)]


def _seconds(command: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def _console_script() -> Path:
    folder = Path(sysconfig.get_path("scripts"))
    for name in ("posebench", "posebench.exe"):
        if (folder / name).is_file():
            return folder / name
    raise SettingsError(f"speed startup: {folder} has no command posebench. Install the project in this environment.")
