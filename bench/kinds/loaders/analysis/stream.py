"""Sentences about a data set that is a stream: whether its workers divide the samples between them or repeat them."""

from collections.abc import Mapping
from typing import Any

WHOLE, BY_WORKER = "whole", "by_worker"
"""Values of `bench.measure.loader.sharding.Sharding`."""
STREAM = "stream"
"""Name of the note with the facts about a stream: the fields of its `StreamLook`."""
SHARDING_REMEDY = (
    "Let __iter__ yield its worker's share alone (torch.utils.data.get_worker_info(): itertools.islice(samples, "
    "info.id, None, info.num_workers)), or choose the share in a worker_init_fn (--worker-init MODULE:NAME)"
)
"""Advice for a stream that each worker delivers in full."""
NOT_COMPARED = "A stream's samples have no index, so whether all configurations delivered the same was not checked."


def stream_sentences(name: str, look: Mapping[str, Any], most_workers: int) -> list[str]:
    """Return sentences about a data set that is a stream, a warning first if there is one.

    Args:
        name: The data set's dotted path.
        look: What is known of the stream, from the study's note STREAM.
        most_workers: The largest number of workers tried.
    """
    if most_workers < 2:
        return [NOT_COMPARED]
    if look["sharding"] == WHOLE:
        about = (
            f"Each of {most_workers} workers delivers the whole stream of {name}: every sample comes {most_workers} "
            f"times. Speeds count repeated samples too. {SHARDING_REMEDY}."
        )
    elif look["sharding"] == BY_WORKER:
        about = f"The stream of {name} is sharded by worker: every sample comes once."
    else:
        about = (
            f"It is not known whether the workers of {name} share its stream ({look['why']}): if each delivers the "
            f"whole stream, every sample comes once from each worker. {SHARDING_REMEDY}."
        )
    return [about, NOT_COMPARED]
