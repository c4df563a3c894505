"""The commands that make a study again under another name, from the study file beside its report."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.report.files import STUDY
from posemodel.synthetic import marker_of


def rerun_command(
    kind: str, name: str, preset: str, *, data: Path | None, options: Sequence[str] = (), folder: Path | None = None
) -> str:
    """To be run where the study was run first; a synthetic data set is made again if it is gone.

    ``data``: the folder of the data set; None where the study file names all that is needed. ``folder``: of the report;
    None: the one of the study's name.
    """
    study_file = (folder or Path("reports") / name) / STUDY
    words = ["posebench", "study", kind, "--preset", preset, "--study", study_file.as_posix()]
    named = ["--name", f"{name}-again", *options]
    if data is None:
        return " \\\n    ".join(map(shlex.join, (words, named)))
    here = Path.cwd()
    shown = (data.relative_to(here) if data.is_relative_to(here) else data).as_posix()
    command = " \\\n    ".join(map(shlex.join, (words, ["--data", shown, *named])))
    made = marker_of(data)
    if made is None:
        return command
    synth = ["posebench", "data", "synth", shown, "--images", str(made["images"]), "--seed", str(made["seed"])]
    return f"{shlex.join(synth)}\n{command}"


def options_of(records: pd.DataFrame) -> tuple[str, ...]:
    """The option that lets as many trials run at once as they recorded; none before there is one."""
    most = records["concurrent_trials"].max() if "concurrent_trials" in records else None
    return () if most is None or pd.isna(most) or most < 1 else ("--workers", str(int(most)))
