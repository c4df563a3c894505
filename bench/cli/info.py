"""`posebench info`: show the size and compute cost of a network."""

from typing import Annotated

import typer


def info(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NETWORK",
            help="Network: rtpose_vgg, openpose_2019, lightweight, lightweight_2, lightweight_3, small, or a class by "
            "its path, my_package:MyNet.",
        ),
    ],
    size: Annotated[
        int | None, typer.Option("--size", help="Side of the input in pixels (default: the network's).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Show the number of parameters and GMACs of a network.

    GMACs are 10^9 multiply-accumulates of one forward pass of one image, counted while the network runs.
    """
    from bench.cli.actions.info import show_cost  # PyTorch: seconds that --help must not take

    show_cost(network, size, as_json=as_json)
