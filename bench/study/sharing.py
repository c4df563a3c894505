"""What trials that run at once share on one machine: cores for their loaders, the memory of a GPU."""

from collections import Counter
from collections.abc import Sequence

from bench.measure.cores import usable_cores
from bench.measure.gpus import Gpu
from bench.report.wording import counted
from bench.trials.study_base import StudyBase
from bench.workloads.protocol import Costs
from posemodel.errors import SettingsError

GB = 1e9


def loader_warnings(spec: StudyBase, workers: int, cores: int | None = None) -> list[str]:
    """Return a sentence if the loaders of trials that run at once have more processes than there are cores.

    Args:
        spec: The study.
        workers: Trials that run at once.
        cores: Cores that this process may use; None: found out.
    """
    setting = getattr(spec, "num_workers", 0)
    num_workers = max(setting, default=0) if isinstance(setting, tuple) else setting
    here = usable_cores() if cores is None else cores
    if workers < 2 or workers * num_workers <= here:
        return []
    return [
        f"{workers} trials at once with num_workers {num_workers} each load with {workers * num_workers} processes on "
        f"{counted(here, 'core')}: give fewer num_workers, or fewer workers."
    ]


def most_on_one(gpus: Sequence[Gpu]) -> int:
    """Return the largest number of trials that run at once on one GPU; 0 without GPUs."""
    return max(Counter(gpus).values(), default=0)


def gpu_memory_text(costs: Costs, gpus: Sequence[Gpu], workers: int) -> str:
    """Return the GPU memory that trials take, as the end of a list, and what they have of it if they share a GPU.

    Args:
        costs: Measured costs; memory is that of all trials that run at once.
        gpus: The GPU of each worker; empty: the device as it is.
        workers: Trials that run at once.

    Empty if no GPU was used.
    """
    if not costs.gpu_memory_bytes:
        return ""
    if not gpus:
        return f" and {costs.gpu_memory_bytes / GB:.1f} GB of GPU memory"
    sharing, trial_bytes = most_on_one(gpus), costs.gpu_memory_bytes / workers
    if sharing == 1:
        return f" and {trial_bytes / GB:.1f} GB of GPU memory on each of {counted(workers, 'GPU')}"
    share = min(gpu.memory_bytes for gpu in gpus) / sharing
    return (
        f" and, for each trial, {trial_bytes / GB:.1f} GB of GPU memory of the {share / GB:.1f} GB that it has with "
        f"{sharing} trials on one GPU"
    )


def refuse_too_little_gpu_memory(costs: Costs, gpus: Sequence[Gpu], workers: int) -> None:
    """Raise SettingsError if trials that share a GPU take more memory than it has; arguments as above."""
    trial_bytes = costs.gpu_memory_bytes / workers
    for gpu, sharing in Counter(gpus).items():
        if sharing > 1 and sharing * trial_bytes > gpu.memory_bytes:
            fit = max(1, int(gpu.memory_bytes // trial_bytes))
            raise SettingsError(
                f"trials_per_gpu: {sharing} trials take {sharing} x {trial_bytes / GB:.1f} GB of GPU memory, and "
                f"{gpu.text} has {gpu.memory_bytes / GB:.1f} GB. Give --trials-per-gpu {fit}, or a smaller batch_size."
            )
