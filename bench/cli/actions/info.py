"""What `posebench info` does."""

from bench.cli.output import print_json, print_line
from posemodel.network.cost import network_cost


def show_cost(network: str, size: int | None, *, as_json: bool) -> None:
    """Print what a network costs."""
    cost = network_cost(network, size)
    if as_json:
        print_json(cost)
    else:
        print_line(
            f"{cost['network']} at {cost['size']} px: {cost['parameters']:,} parameters, "
            f"{cost['gmacs']:.1f} GMACs, stride {cost['stride']}"
        )
