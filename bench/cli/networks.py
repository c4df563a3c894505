"""`posebench networks`: a networks study on a GPU whose report goes into a folder that is named."""

from pathlib import Path
from typing import Any

import typer

from bench.cli.study import INTERRUPTED_NOTE, as_command, option
from bench.kinds import KIND_OF_VERB, KINDS, study_spec

KIND = KIND_OF_VERB["networks"]
RENAMED = {"synthetic_images": "--images", "scored_images": "--val-images"}
"""Settings that have another flag here than in `posebench study`."""


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
            typer.Option("--out", metavar="DIR", help="Folder of the report; the study has its name."),
            default=Path("reports/networks"),
        )
    ],
    f"{KINDS[KIND].help}\n\nOn a CUDA device, unless --device names another. {INTERRUPTED_NOTE}",
    [name for name in study_spec(KIND).declarations() if name != "name"],
    RENAMED,
)
