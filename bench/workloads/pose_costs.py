"""What a trial of a pose network is made of, measured: the real loop for a few seconds, in this process."""

import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil
import torch

from bench.workloads.protocol import REPORT, SELECT, Costs, MakeOptimizer, Split
from posemodel.config import TrainSettings
from posemodel.data.augment import letterbox
from posemodel.data.coco import PackedSplit, open_split
from posemodel.data.layout import DataSet
from posemodel.data.targets import make_heatmaps, make_pafs
from posemodel.decode import decode
from posemodel.device import choose_device, synchronize
from posemodel.network import PoseNetwork, input_geometry
from posemodel.prediction import validate, validation_loader
from posemodel.training import train
from posemodel.training_network import initial_network

if sys.platform != "win32":
    import resource

PROBE_STEPS = 24
PROBE_SECONDS = 6.0
"""A probe ends at whichever comes first, but not before its second window."""
STEPS_PER_WINDOW = 4
SCORED_IMAGES = 48
OPTIMIZER_STEPS = 3


class _EnoughError(Exception):
    """The probe has seen enough windows."""


def measure_costs(runs: Mapping[str, TrainSettings], factories: Mapping[str, MakeOptimizer]) -> Costs:
    """See `Workload.costs`; the first run stands for all, each optimizer's step is measured by itself."""
    name, run = next(iter(runs.items()))
    # A step more than the probe takes: it ends before the run would be evaluated.
    steps = min(run.steps or PROBE_STEPS, PROBE_STEPS) + 1
    budget = {"steps": steps, "seconds": None, "val_every": steps, "ap_every": None, "evaluations": None}
    settings = run.model_copy(update={"log_every": STEPS_PER_WINDOW, **budget})
    device = choose_device(settings.device)
    batch = settings.loader.batch_size
    began = time.perf_counter()
    first: list[float] = []
    windows: list[float] = []
    loaders: list[int] = [0]

    def on_metrics(step: int, metrics: dict[str, float]) -> None:
        if not first:
            first.append(time.perf_counter() - began)
        elif "images_per_s" in metrics:
            windows.append(batch / metrics["images_per_s"])
        loaders.append(sum(child.memory_info().rss for child in psutil.Process().children(recursive=True)))
        late = time.perf_counter() - began > first[0] + PROBE_SECONDS
        if step >= steps - 1 or (late and len(windows) > 1):
            raise _EnoughError

    with _until_enough():
        train(settings, factories[name], on_metrics=on_metrics)
    network = initial_network(settings, device)
    own = {key: _optimizer_step_s(network, factory) for key, factory in factories.items()}
    step_s = statistics.median(windows) if windows else first[0]
    if settings.weights is not None:
        network = initial_network(settings, device)  # the steps above have moved what finds people
    score_s, image_s = _evaluation_costs(run, network)
    return Costs(
        setup_s=first[0],
        step_s={key: max(step_s - own[name] + own[key], 0.0) for key in runs},
        score_s=score_s,
        image_s=image_s,
        memory_bytes=_peak_memory() + max(loaders),
        gpu_memory_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
    )


@contextmanager
def _until_enough() -> Iterator[None]:
    try:
        yield
    except _EnoughError:
        return


def _optimizer_step_s(network: PoseNetwork, factory: MakeOptimizer) -> float:
    """Median seconds of an optimizer's step on the network's parameters."""
    parameters = list(network.parameters())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer = factory(parameters)
    device = parameters[0].device
    optimizer.step()  # makes its state
    times = []
    for _ in range(OPTIMIZER_STEPS):
        synchronize(device)
        began = time.perf_counter()
        optimizer.step()
        synchronize(device)
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _evaluation_costs(settings: TrainSettings, network: PoseNetwork) -> tuple[dict[Split, float], float]:
    """Seconds of an evaluation on each split apart from its images, and for each image.

    An untrained network finds nobody, so decoding is measured on perfect maps beside it. One that starts from weights
    finds people by itself: its decoding is part of the evaluation.
    """
    geometry = input_geometry(settings.network, settings.size)
    data = DataSet(settings.data, settings.files)
    splits = {name: open_split(data, name, skip_bad=settings.skip_bad, exif=settings.exif) for name in (SELECT, REPORT)}
    device = choose_device(settings.device)

    def seconds(split: PackedSplit, positions: list[int]) -> float:
        part = split.subset(positions)
        began = time.perf_counter()
        loader = validation_loader(part, geometry, settings.loader)
        validate(network, loader, part, geometry, device, with_scores=True)
        return time.perf_counter() - began

    split = splits[REPORT]
    count = min(SCORED_IMAGES, len(split))
    chosen = [number * len(split) // count for number in range(count)]
    seconds(split, chosen[:1])  # warms up
    one = {name: seconds(each, [0]) for name, each in splits.items()}
    many = seconds(split, chosen)
    image_s = max(many - one[REPORT], 0.0) / max(count - 1, 1)
    starts = {name: max(each - image_s, 0.0) for name, each in one.items()}
    if settings.weights is not None:
        return starts, image_s
    decoding = 0.0
    for position in chosen:
        people = letterbox(*split.size(position), geometry.size).people(split.people(position))
        heatmaps, pafs = make_heatmaps(people, geometry), make_pafs(people, geometry)
        began = time.perf_counter()
        decode(heatmaps, pafs, geometry)
        decoding += time.perf_counter() - began
    return starts, image_s + decoding / count


def _peak_memory() -> int:
    """Bytes that this process held at most."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
