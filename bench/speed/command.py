"""How long the command line takes to answer: `posebench --help` beside a bare interpreter, each a fresh process."""

import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.speed.compare import Row, summarize
from posemodel.errors import SettingsError

ASKED_ADDED_S = 0.3
"""What `posebench --help` may take more than the bare interpreter (docs: the table of speeds)."""


def measure(*, repeats: int = 15) -> list[Row]:
    """Time `posebench --help` against `python -c pass`: whole processes, in turns, from their start to their end.

    The command is the console script that stands beside this interpreter, as a person runs it. The row `help` has the
    facts ``added_s`` (the median of the differences of each turn, in seconds) and ``asked_added_s``.
    Raises SettingsError where the script is not installed.
    """
    ours = [str(_console_script()), "--help"]
    bare = [sys.executable, "-c", "pass"]
    seconds = np.empty((repeats, 2))
    for turn in range(-1, repeats):  # the first one fills the page cache and counts for nothing
        order = (0, 1) if turn % 2 else (1, 0)
        for side in order:
            taken = _seconds((ours, bare)[side])
            if turn >= 0:
                seconds[turn, side] = taken
    added_s = float(np.median(seconds[:, 0] - seconds[:, 1]))
    facts = {"added_s": added_s, "asked_added_s": ASKED_ADDED_S}
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
    raise SettingsError(f"speed startup: there is no command posebench in {folder}; install the project there.")
