"""`posebench weights`: convert public checkpoints into posebench's format."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Convert weights of other programs.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Keep `import` as a subcommand: without a callback, Typer makes the only command the group itself."""


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to convert: a PyTorch state dict or safetensors.")],
    file_format: Annotated[
        str,
        typer.Option(
            "--format", metavar="FORMAT", help="Layout of the file: tensorboy, lightweight or torchvision-vgg19."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Checkpoint to write; must not exist.")],
    input_format: Annotated[
        str | None,
        typer.Option(
            "--input-format",
            help="For tensorboy: imagenet (default; trained by that code) or caffe (converted from Caffe).",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Convert a public checkpoint for eval, predict and train.

    torchvision's VGG19 becomes a file for `posebench train --backbone-weights`.
    """
    from bench.cli.actions.weights import import_file as convert  # PyTorch: seconds that --help must not take

    convert(file, out, file_format=file_format, input_format=input_format, as_json=as_json)
