"""`posebench networks`: a networks study on a GPU, with the folder of its report given by `--out`."""

from pathlib import Path
from typing import Any

import typer

from bench.cli.study import INTERRUPTED_NOTE, as_command, option
from bench.kinds import KIND_OF_VERB, KINDS, study_spec

KIND = KIND_OF_VERB["networks"]
RENAMED = {"synthetic_images": "--images", "scored_images": "--val-images"}
"""Settings whose flag differs from that of `posebench study networks`."""


def _networks(**typed: Any) -> None:
    out, as_json = typed.pop("out"), typed.pop("as_json")
    from bench.cli.actions.networks import compare_networks  # PyTorch takes seconds; the help does without

    compare_networks(typed, out, as_json=as_json)


networks = as_command(
    _networks,
    KIND,
    [
        option(
            "out",
            Path,
            typer.Option("--out", metavar="DIR", help="Folder of the report; the study takes the folder's name."),
            default=Path("reports/networks"),
        )
    ],
    f"{KINDS[KIND].help}\n\n{study_spec(KIND).question()}\n\n"
    f"Runs on a CUDA device unless --device names another. {INTERRUPTED_NOTE}",
    [name for name in study_spec(KIND).declarations() if name != "name"],
    RENAMED,
)
