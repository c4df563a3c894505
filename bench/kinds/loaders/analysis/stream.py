"""What is said of a data set that is a stream: whether workers share its samples or repeat them."""

from collections.abc import Mapping
from typing import Any

WHOLE, BY_WORKER = "whole", "by_worker"
"""As `bench.measure.loader.sharding.Sharding` has them."""
STREAM = "stream"
"""Name of the note that a study keeps of the look at a stream: the fields of its `StreamLook`."""
HOW = (
    "Let __iter__ yield its worker's share alone (torch.utils.data.get_worker_info(): itertools.islice(samples, "
    "info.id, None, info.num_workers)), or choose the share in a worker_init_fn (--worker-init MODULE:NAME)"
)
NOT_COMPARED = (
    "A stream's samples cannot be asked for by index: whether all configurations delivered the same was not compared."
)


def stream_sentences(name: str, found: Mapping[str, Any], most_workers: int) -> list[str]:
    """Sentences about a data set that is a stream, the first of which is the warning where there is one.

    Args:
        name: The data set's dotted path.
        found: The study's note (STREAM) of the look at it.
        most_workers: The largest number of workers tried.
    """
    if most_workers < 2:
        return [NOT_COMPARED]
    if found["sharding"] == WHOLE:
        about = (
            f"Each of {most_workers} workers delivers the whole stream of {name}: every sample comes {most_workers} "
            f"times. Speeds are those of samples, repeated ones too. {HOW}."
        )
    elif found["sharding"] == BY_WORKER:
        about = f"The stream of {name} is sharded by worker: every sample comes once."
    else:
        about = (
            f"It is not known whether the workers of {name} share its stream ({found['why']}): where each delivers the "
            f"whole stream, every sample comes once from each worker. {HOW}."
        )
    return [about, NOT_COMPARED]
