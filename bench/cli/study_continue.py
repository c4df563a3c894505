"""`posebench study resume` and `posebench study extend`: go on with a study, or make it larger."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from bench.cli.stores import stores

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of a study of this folder.")]
Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder of the data set, if it has moved (default: as before)."),
]
Workers = Annotated[
    str | None,
    typer.Option(
        "--workers", metavar="INTEGER|auto|cores", help="Number of trials to run at once (default: as before)."
    ),
]
Gpus = Annotated[
    str | None,
    typer.Option(
        "--gpus", metavar="INDEX|UUID,...", help="GPUs to use, by their index among the visible ones or by their UUID."
    ),
]
TrialsPerGpu = Annotated[
    str | None,
    typer.Option(
        "--trials-per-gpu", metavar="INTEGER", help="Number of trials that may run at once on one GPU (default: 1)."
    ),
]
Checkpoints = Annotated[
    str | None,
    typer.Option(
        "--checkpoints",
        metavar="URL_OR_DIR",
        help="Folder or URL, shared by all workers, where interrupted trials keep their state, so that they go on "
        "elsewhere.",
    ),
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine", metavar="local|ray", help="Where trials run: in processes of this machine, or on a Ray cluster."
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        metavar="HOST:PORT",
        help="Address of the Ray cluster's head (default: RAY_ADDRESS, a cluster that runs here, or a new one here).",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")]


def resume(
    name: Name,
    data: Data = None,
    workers: Workers = None,
    gpus: Gpus = None,
    trials_per_gpu: TrialsPerGpu = None,
    checkpoints: Checkpoints = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    as_json: Json = False,
) -> None:
    """Go on with an interrupted study, or show a finished one again.

    The study keeps its settings.
    """
    places = {
        "workers": workers,
        "gpus": gpus,
        "trials_per_gpu": trials_per_gpu,
        "checkpoints": checkpoints,
        "engine": engine,
        "ray_address": ray_address,
    }
    actions().resume(name, data=data, places=places, as_json=as_json)


def extend(
    name: Name,
    tunings: Annotated[
        int | None, typer.Option("--tunings", min=1, help="Optimizers study: new total of tunings of each optimizer.")
    ] = None,
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="Joint study: new total of search trials.")
    ] = None,
    data: Data = None,
    workers: Workers = None,
    gpus: Gpus = None,
    trials_per_gpu: TrialsPerGpu = None,
    checkpoints: Checkpoints = None,
    engine: Engine = None,
    ray_address: RayAddress = None,
    as_json: Json = False,
) -> None:
    """Make a study larger: keep its records and run what is new.

    The report is written again. Extending an optimizers study whose results were already seen halves the significance
    level of its later tests (not with until_decided). The data, the class of machine and the library versions must be
    the same.
    """
    amount = {"tunings": tunings, "trials": trials}
    changes = {name: value for name, value in amount.items() if value is not None}
    places = {
        "workers": workers,
        "gpus": gpus,
        "trials_per_gpu": trials_per_gpu,
        "checkpoints": checkpoints,
        "engine": engine,
        "ray_address": ray_address,
    }
    actions().extend(name, changes, data=data, places=places, as_json=as_json)


def actions(name: str = "study_continue") -> ModuleType:
    """Check that MLflow's store can be read, then import a module of actions: PyTorch and MLflow take seconds, which
    the help does without."""
    stores().require_records()
    return importlib.import_module(f"bench.cli.actions.{name}")
