"""Places for trials on the GPUs of this machine: which worker uses which GPU."""

import re
from collections.abc import Sequence
from itertools import cycle, islice

from bench.measure.gpus import Gpu
from bench.report.wording import counted
from posemodel.errors import SettingsError


def assign(
    visible: Sequence[Gpu],
    *,
    workers: int | None = None,
    chosen: Sequence[int | str] | None = None,
    trials_per_gpu: int = 1,
) -> tuple[Gpu, ...]:
    """Return the GPU of each worker. Workers share a GPU only once every GPU has one.

    Args:
        visible: The GPUs that this process may use.
        workers: Trials that run at once; None: as many as there are places.
        chosen: GPUs to use, by index among the visible ones, UUID, or its beginning; None: all visible ones.
        trials_per_gpu: Places on each GPU.

    Raises SettingsError for an entry that names no visible GPU, and for more workers than places.
    """
    gpus = [*visible] if chosen is None else choose(visible, chosen)
    places = len(gpus) * trials_per_gpu
    if workers is not None and workers > places:
        there = "is 1 place" if places == 1 else f"are {places} places"
        raise SettingsError(
            f"workers: {counted(workers, 'trial')} at once, but there {there} for them "
            f"({counted(len(gpus), 'GPU')}, {counted(trials_per_gpu, 'trial')} on each). Give {places} workers at "
            f"most, or let trials share a GPU with trials_per_gpu = {-(-workers // len(gpus))} (`--trials-per-gpu`)."
        )
    return tuple(islice(cycle(gpus), places if workers is None else workers))


def choose(visible: Sequence[Gpu], chosen: Sequence[int | str]) -> list[Gpu]:
    """Return the visible GPUs that the entries of the setting `gpus` name; SettingsError lists all if one names
    none."""
    if not chosen:
        raise SettingsError(f"gpus: names no GPU. {_listed(visible)}")
    gpus: list[Gpu] = []
    for entry in chosen:
        named = _named(visible, entry)
        if len(named) != 1:
            fault = f"{entry} stands for {len(named)} GPUs" if named else f"there is no GPU {entry} here"
            raise SettingsError(f"gpus: {fault}. {_listed(visible)}")
        if named[0] in gpus:
            raise SettingsError(f"gpus: {entry} is named twice. {_listed(visible)}")
        gpus += named
    return gpus


def _named(visible: Sequence[Gpu], entry: int | str) -> Sequence[Gpu]:
    if isinstance(entry, int) or re.fullmatch(r"\d+", entry):
        return visible[int(entry) : int(entry) + 1]
    exact = [gpu for gpu in visible if gpu.uuid == entry]
    return exact or [gpu for gpu in visible if entry and gpu.uuid.startswith(entry)]


def _listed(visible: Sequence[Gpu]) -> str:
    return f"Visible here: {', '.join(f'{index}: {gpu.text}' for index, gpu in enumerate(visible)) or 'none'}."
