"""Action of `posebench info`: print a network's size and compute cost."""

from bench.cli.output import print_json, print_line
from posemodel.network.cost import network_cost


def show_cost(network: str, size: int | None, *, as_json: bool) -> None:
    """Print a network's parameters, GMACs and stride at an input side of ``size`` pixels (None: its default)."""
    cost = network_cost(network, size)
    if as_json:
        print_json(cost)
    else:
        print_line(
            f"{cost['network']} at {cost['size']} px: {cost['parameters']:,} parameters, "
            f"{cost['gmacs']:.1f} GMACs, stride {cost['stride']}"
        )
