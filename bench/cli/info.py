"""`posebench info`: what a network costs."""

from typing import Annotated

import typer

from bench.cli.output import print_json


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
    from posemodel.network.cost import network_cost

    cost = network_cost(network, size)
    if as_json:
        print_json(cost)
    else:
        print(
            f"{cost['network']} at {cost['size']} px: {cost['parameters']:,} parameters, "
            f"{cost['gmacs']:.1f} GMACs, stride {cost['stride']}"
        )
