"""Which GPUs trials ran on, and a warning if these are of several models."""

import pandas as pd

from bench.report.text import literal
from bench.report.wording import enumerate_items
from bench.trials.record import SEVERAL_GPUS


def several_models(records: pd.DataFrame) -> str:
    """Return that speeds cannot be compared; empty if all trials whose GPU is known ran on one model.

    ``records``: a row for each trial; its column `gpu`, as `NVIDIA H200 (GPU-...)`, is absent without a GPU. A trial
    that went on elsewhere has several.
    """
    if "gpu" not in records:
        return ""
    gpus = {gpu for text in records["gpu"].dropna() for gpu in str(text).split(SEVERAL_GPUS)}
    models = sorted({gpu.rpartition(" (")[0] for gpu in gpus})
    if len(models) < 2:
        return ""
    named = enumerate_items([literal(model) for model in models])
    return f"Trials ran on GPUs of {len(models)} models ({named}): their times and images/s cannot be compared."


def trials_by_gpu(records: pd.DataFrame) -> list[str]:
    """Return a paragraph that counts the trials of each GPU; none without a GPU."""
    if "gpu" not in records or not records["gpu"].notna().any():
        return []
    counts = records["gpu"].dropna().value_counts().sort_index()
    return [f"Trials by GPU: {', '.join(f'{literal(str(gpu))} {count}' for gpu, count in counts.items())}."]
