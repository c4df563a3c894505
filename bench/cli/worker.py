"""`posebench worker`: run trials of a begun study, from any process that reaches its stores."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.study_continue import Checkpoints, Gpus, Json, TrialsPerGpu, actions


def worker(
    study: Annotated[str, typer.Argument(metavar="STUDY", help="Name of a study that was begun, here or elsewhere.")],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="DIR",
            help="Folder of the data set on this machine (default: where the study has it; a synthetic set is made).",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Leave after this number of trials (default: no limit).")
    ] = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            "--time-limit",
            metavar="DURATION",
            help="Leave after this time (90s, 3h30m); begins no trial that would not end by then.",
        ),
    ] = None,
    workers: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="INTEGER|cores",
            help="Number of trials to run at once here (default: one per visible GPU, else one).",
        ),
    ] = None,
    gpus: Gpus = None,
    trials_per_gpu: TrialsPerGpu = None,
    checkpoints: Checkpoints = None,
    as_json: Json = False,
) -> None:
    """Run trials of a begun study, from any machine.

    Finds the study by its name in the stores that POSEBENCH_STORAGE and MLFLOW_TRACKING_URI name. Any number of workers
    can join and leave at any time. Leaves when all trials have ended, or on SIGTERM, which gives its trials back (exit
    code 130). The report is left to the command that began the study.
    """
    places = {"workers": workers, "gpus": gpus, "trials_per_gpu": trials_per_gpu, "checkpoints": checkpoints}
    actions("worker").join(study, data=data, trials=trials, time_limit=time_limit, places=places, as_json=as_json)
