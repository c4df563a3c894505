"""What a trial needs of a node, and whether a cluster has it: functions of the resources of nodes as Ray counts them.

A node's resources are a number by name, of which `CPU` (cores), `GPU` and `memory` (bytes) count here.
"""

from collections.abc import Mapping, Sequence

from bench.engines.cluster.settings import Cluster
from bench.report.wording import counted

Resources = Mapping[str, float]
USED = 0.8
"""Share of the cores used by any smaller number of cores for a trial that a larger number must use, too."""


def needs_in(nodes: Sequence[Resources], cluster: Cluster) -> dict[str, float]:
    """Return what a place needs: Ray's `num_cpus` and `num_gpus`.

    On GPUs, cores are no more than each node with GPUs has for each trial on them. Without GPUs they are the most that
    use at least `USED` of the nodes' cores that any smaller number uses.

    Args:
        nodes: Nodes that there are, or may come.
        cluster: The cores that a trial would like to have, and its share of a GPU.
    """
    share = cluster.gpu_share
    if share:
        fits = [int(node.get("CPU", 0) * share / node["GPU"]) for node in nodes if node.get("GPU")]
        return {"num_cpus": min(cluster.cores, *fits) if fits else cluster.cores, "num_gpus": share}
    cores = [int(node.get("CPU", 0)) for node in nodes]
    used = {each: sum(have // each * each for have in cores) for each in range(1, cluster.cores + 1)}
    enough = USED * max(used.values())
    return {"num_cpus": max(each for each in used if used[each] >= enough), "num_gpus": 0.0}


def with_memory(nodes: Sequence[Resources], needs: Mapping[str, float], peak: int) -> dict[str, float]:
    """Return the needs with Ray's `memory` in bytes: as much as a trial has taken, ``peak``, but never more than the
    largest node has that has the rest; it then holds one trial at a time."""
    wanted = _wanted(needs)
    largest = max((int(node.get("memory", 0)) for node in nodes if _has(node, wanted)), default=0)
    return {**needs, "memory": min(peak, largest)}


def why_unplaceable(nodes: Sequence[Resources], needs: Mapping[str, float], cluster: Cluster) -> str | None:
    """Return why no node, even an idle one, has room for a trial, in a sentence; None if one has.

    ``needs``: as `needs_in` returns them.
    """
    wanted = _wanted(needs)
    if any(_has(node, wanted) for node in nodes):
        return None
    missing = "no node has that much"
    if wanted["GPU"] and not total(nodes)["GPU"]:
        missing = "no node of the cluster has a GPU"
    return f"The study trains on {cluster.device}; a trial needs {resources_text(wanted)}, but {missing}."


def _wanted(needs: Mapping[str, float]) -> dict[str, float]:
    return {"CPU": needs["num_cpus"], "GPU": needs["num_gpus"]}


def _has(node: Resources, wanted: Resources) -> bool:
    return all(node.get(name, 0) >= least for name, least in wanted.items())


def total(nodes: Sequence[Resources]) -> dict[str, float]:
    """Return the sum of the nodes' cores and GPUs."""
    return {name: sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU")}


def resources_text(resources: Resources) -> str:
    """Return cores and GPUs in words."""
    cores, gpus = counted(int(resources.get("CPU", 0)), "core"), resources.get("GPU", 0.0)
    if not gpus:
        return cores
    return f"{cores} and {counted(int(gpus), 'GPU') if gpus == int(gpus) else f'{gpus:.2g} of a GPU'}"
