"""`posebench weights`: public checkpoints into ours."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Weights of other programs.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Keeps `import` a word of its own: Typer would take the only command for the group."""


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A PyTorch state dict or a safetensors file.")],
    file_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="tensorboy, lightweight or torchvision-vgg19.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The checkpoint to write; must not exist.")],
    input_format: Annotated[
        str | None,
        typer.Option(
            "--input-format",
            help="For tensorboy: imagenet (the default; trained by that code) or caffe (converted from Caffe).",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Turn a public checkpoint into one for eval and train; VGG19 becomes a file for train --backbone-weights."""
    from bench.cli.actions.weights import import_file as imported  # PyTorch: seconds that --help must not take

    imported(file, out, file_format=file_format, input_format=input_format, as_json=as_json)
