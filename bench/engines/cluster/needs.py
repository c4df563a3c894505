"""What a trial needs of a node, and whether a cluster has it: functions of the resources of nodes as Ray counts them.

A node's resources are a number by name, of which `CPU` (cores) and `GPU` count here.
"""

from collections.abc import Mapping, Sequence

from bench.engines.cluster.settings import Cluster
from bench.report.wording import counted

Resources = Mapping[str, float]


def needs_in(nodes: Sequence[Resources], cluster: Cluster) -> dict[str, float]:
    """Return what a place needs: Ray's `num_cpus` and `num_gpus`.

    Cores are no more than each node with GPUs has for each trial on them, or, without GPUs, than the largest node has.
    """
    share = cluster.gpu_share
    if share:
        fits = [int(node.get("CPU", 0) * share / node["GPU"]) for node in nodes if node.get("GPU")]
        bound = min(fits, default=cluster.cores)
    else:
        bound = max((int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1), default=cluster.cores)
    return {"num_cpus": min(cluster.cores, bound), "num_gpus": share}


def why_unplaceable(nodes: Sequence[Resources], needs: Mapping[str, float], cluster: Cluster) -> str | None:
    """Return why no node, even an idle one, has room for a trial, in a sentence; None if one has.

    ``needs``: as `needs_in` returns them.
    """
    wanted = {"CPU": needs["num_cpus"], "GPU": needs["num_gpus"]}
    if any(all(node.get(name, 0) >= least for name, least in wanted.items()) for node in nodes):
        return None
    missing = "no node has that much"
    if wanted["GPU"] and not total(nodes)["GPU"]:
        missing = "no node of the cluster has a GPU"
    return f"The study trains on {cluster.device}; a trial needs {resources_text(wanted)}, but {missing}."


def total(nodes: Sequence[Resources]) -> dict[str, float]:
    """Return the sum of the nodes' cores and GPUs."""
    return {name: sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU")}


def resources_text(resources: Resources) -> str:
    """Return cores and GPUs in words."""
    cores, gpus = counted(int(resources.get("CPU", 0)), "core"), resources.get("GPU", 0.0)
    if not gpus:
        return cores
    return f"{cores} and {counted(int(gpus), 'GPU') if gpus == int(gpus) else f'{gpus:.2g} of a GPU'}"
