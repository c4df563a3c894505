"""`posebench info`: what a network costs."""

from typing import Annotated

import typer


def info(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK", help="rtpose_vgg, openpose_2019, lightweight, lightweight_2, lightweight_3 or small."
        ),
    ],
    size: Annotated[int | None, typer.Option("--size", help="Input side in pixels (default: the network's).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Parameters, and GMACs of one forward pass, counted on the network itself."""
    from bench.cli.actions.info import show_cost  # PyTorch: seconds that --help must not take

    show_cost(network, size, as_json=as_json)
