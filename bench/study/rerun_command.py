"""Shell commands that repeat a study under another name, from the study file beside its report."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.report.files import STUDY
from posemodel.synthetic import read_marker


def rerun_command(
    kind: str, name: str, preset: str, *, data: Path | None, options: Sequence[str] = (), folder: Path | None = None
) -> str:
    """Return the commands that repeat a study; they are to be run in the directory in which the first run was started.

    They include the command that makes the synthetic data set, in case it was deleted.

    Args:
        kind: Kind of the study.
        name: Name of the study.
        preset: Preset of the study.
        data: Folder of the data set; None if the study file names all that is needed.
        options: Further options, such as `--workers 4`.
        folder: Folder of the report; None: the default one of the study's name.
    """
    study_file = (folder or Path("reports") / name) / STUDY
    words = ["posebench", "study", kind, "--preset", preset, "--study", study_file.as_posix()]
    named = ["--name", f"{name}-again", *options]
    if data is None:
        return " \\\n    ".join(map(shlex.join, (words, named)))
    working_folder = Path.cwd()
    path = (data.relative_to(working_folder) if data.is_relative_to(working_folder) else data).as_posix()
    command = " \\\n    ".join(map(shlex.join, (words, ["--data", path, *named])))
    marker = read_marker(data)
    if marker is None:
        return command
    synth = ["posebench", "data", "synth", path, "--images", str(marker["images"]), "--seed", str(marker["seed"])]
    return f"{shlex.join(synth)}\n{command}"


def options_of(records: pd.DataFrame) -> tuple[str, ...]:
    """Return the option `--workers N` with the maximum number of trials that ran at once; empty if there are no
    records."""
    most = records["concurrent_trials"].max() if "concurrent_trials" in records else None
    return () if most is None or pd.isna(most) or most < 1 else ("--workers", str(int(most)))
