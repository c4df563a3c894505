"""What a trial of a pose network is made of, measured: the real loop for a few seconds, in this process.

The pieces come in the order of their weight: of a slow network a single image, a first step, steady steps, each
optimizer's own step, an evaluation. Each is told as soon as it is known: the time may be over before the last.
"""

import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import psutil
import torch

from bench.workloads.protocol import REPORT, SELECT, Costs, MakeOptimizer, OnCosts, Split, StepBy
from posemodel.config import TrainSettings
from posemodel.data.augment import letterbox
from posemodel.data.coco import PackedSplit, open_split
from posemodel.data.layout import DataSet
from posemodel.data.loader import validation_loader
from posemodel.data.targets import make_heatmaps, make_pafs
from posemodel.device import choose_device, synchronize
from posemodel.inference.decoder import decode
from posemodel.network import PoseNetwork, input_geometry
from posemodel.network.cost import network_cost
from posemodel.training.initial_network import initial_network
from posemodel.training.loop import train
from posemodel.training.validation import validate

if sys.platform != "win32":
    import resource

PROBE_STEPS = 24
PROBE_SECONDS = 6.0
"""A probe ends at whichever comes first, but not before its second window."""
TRAINING_SHARE = 0.6
"""Share of the time for measuring after which the probe ends even before its second window."""
EVALUATION_SHARE = 0.7
"""Share of what is left that an evaluation of several images may take by what one has taken."""
FORWARD_AND_BACKWARD = 3
"""A step's multiply-accumulates, in those of the forward pass."""
SLOW_GMACS = 500.0
"""10^9 multiply-accumulates of a step from which a CPU is first asked for a single image: some seconds."""
STEPS_PER_WINDOW = 4
SCORED_IMAGES = 48
OPTIMIZER_STEPS = 3


class _EnoughError(Exception):
    """The probe has seen enough windows."""


def measure_costs(
    runs: Mapping[str, TrainSettings], factories: Mapping[str, MakeOptimizer], *, seconds: float, on_costs: OnCosts
) -> Costs:
    """See `Workload.costs`; the first run stands for all, each optimizer's step is measured by itself."""
    until = time.perf_counter() + seconds
    name, run = next(iter(runs.items()))
    if _is_slow(run):
        on_costs(_one_image_costs(run, factories[name], [*runs]))
    trained = _training_costs(run, factories[name], [*runs], seconds, on_costs)
    on_costs(trained)
    device = choose_device(run.device)
    network = initial_network(run, device)
    own: dict[str, float] = {}
    for key in runs:
        if time.perf_counter() < until:  # the others are taken for as slow as the first
            own[key] = _optimizer_step_s(network, factories[key])
    step_s = trained.step_s[name]
    steps = {key: max(step_s + own.get(key, 0.0) - own[name], 0.0) if key in own else step_s for key in runs}
    found = replace(trained, step_s=steps)
    on_costs(found)
    if run.weights is not None:
        network = initial_network(run, device)  # the steps above have moved what finds people
    for score_s, image_s in _evaluation_costs(run, network, until, step_s / run.loader.batch_size):
        found = replace(found, score_s=score_s, image_s=image_s, memory_bytes=max(found.memory_bytes, _peak_memory()))
        on_costs(found)
    return found


def _is_slow(run: TrainSettings) -> bool:
    """Whether a step may take longer than there is for measuring: known without one."""
    if choose_device(run.device).type != "cpu":
        return False
    gmacs: float = network_cost(run.network, run.size)["gmacs"]
    return run.loader.batch_size * FORWARD_AND_BACKWARD * gmacs > SLOW_GMACS


def _one_image_costs(run: TrainSettings, factory: MakeOptimizer, names: list[str]) -> Costs:
    """A step as so many times the first step on a single image."""
    batch = run.loader.batch_size
    loader = run.loader.model_copy(update={"batch_size": 1, "num_workers": 0, "persistent_workers": False})
    budget = {"steps": 2, "seconds": None, "val_every": 2, "ap_every": None, "evaluations": None}
    image_s: list[float] = []

    def on_metrics(_step: int, metrics: dict[str, float]) -> None:
        image_s.append(1 / metrics["images_per_s"])
        raise _EnoughError

    began = time.perf_counter()
    with _until_enough():
        train(run.model_copy(update={"loader": loader, **budget}), factory, on_metrics=on_metrics)
    return Costs(
        setup_s=time.perf_counter() - began,
        step_s=dict.fromkeys(names, batch * image_s[0]),
        score_s={},
        image_s=0.0,
        memory_bytes=_peak_memory(),
        gpu_memory_bytes=0,
        step_by="one image",
    )


def _training_costs(
    run: TrainSettings, factory: MakeOptimizer, names: list[str], seconds: float, on_costs: OnCosts
) -> Costs:
    """Setup and steps of the real loop; a step of all ``names`` alike."""
    # A step more than the probe takes: it ends before the run would be evaluated.
    steps = min(run.steps or PROBE_STEPS, PROBE_STEPS) + 1
    budget = {"steps": steps, "seconds": None, "val_every": steps, "ap_every": None, "evaluations": None}
    settings = run.model_copy(update={"log_every": STEPS_PER_WINDOW, **budget})
    device = choose_device(settings.device)
    batch = settings.loader.batch_size
    began = time.perf_counter()
    first: list[float] = []
    ends: list[float] = []
    windows: list[float] = []
    loaders: list[int] = [0]

    def so_far(step_s: float, step_by: StepBy = "steps") -> Costs:
        return Costs(
            setup_s=first[0],
            step_s=dict.fromkeys(names, step_s),
            score_s={},
            image_s=0.0,
            memory_bytes=_peak_memory() + max(loaders),
            gpu_memory_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
            step_by=step_by,
        )

    def step_s() -> float:
        """By windows, which wait for the device; before the second one by the steps' ends."""
        return statistics.median(windows) if len(windows) > 1 or len(ends) < 2 else _median_between(ends)

    def on_metrics(step: int, metrics: dict[str, float]) -> None:
        loaders.append(sum(child.memory_info().rss for child in psutil.Process().children(recursive=True)))
        if not first:
            first.append(time.perf_counter() - began)
            on_costs(so_far(batch / metrics["images_per_s"], "first step"))
        elif "images_per_s" in metrics:
            windows.append(batch / metrics["images_per_s"])
        late = time.perf_counter() - began > first[0] + PROBE_SECONDS
        if step >= steps - 1 or (late and len(windows) > 1):
            raise _EnoughError

    def should_stop() -> bool:
        """Asked after each step."""
        ends.append(time.perf_counter())
        if len(ends) > 1 and ends[-1] - began > TRAINING_SHARE * seconds:
            raise _EnoughError
        return False

    with _until_enough():
        train(settings, factory, on_metrics=on_metrics, should_stop=should_stop)
    return so_far(step_s())


def _median_between(moments: list[float]) -> float:
    return statistics.median(later - earlier for earlier, later in pairwise(moments))


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


def _evaluation_costs(
    settings: TrainSettings, network: PoseNetwork, until: float, trained_image_s: float
) -> Iterator[tuple[dict[Split, float], float]]:
    """Seconds of an evaluation on each split apart from its images, and for each image: first roughly, then better.

    An untrained network finds nobody, so decoding is measured on perfect maps beside it. One that starts from weights
    finds people by itself: its decoding is part of the evaluation. Roughly, an image takes no longer than one that is
    trained on (``trained_image_s``), and the rest of an evaluation is its beginning.
    """
    geometry = input_geometry(settings.network, settings.size)
    data = DataSet(settings.data, settings.files)
    splits = {name: open_split(data, name, skip_bad=settings.skip_bad, exif=settings.exif) for name in (SELECT, REPORT)}
    split = splits[REPORT]
    device = choose_device(settings.device)

    def seconds(split: PackedSplit, positions: list[int]) -> float:
        part = split.subset(positions)
        began = time.perf_counter()
        loader = validation_loader(part, geometry, settings.loader)
        validate(network, loader, part, geometry, device, with_scores=True)
        return time.perf_counter() - began

    def left() -> float:
        return until - time.perf_counter()

    def decoding_s(positions: list[int]) -> float:
        if settings.weights is not None:
            return 0.0
        times = []
        for position in positions:
            people = letterbox(*split.size(position), geometry.size).people(split.people(position))
            heatmaps, pafs = make_heatmaps(people, geometry), make_pafs(people, geometry)
            began = time.perf_counter()
            decode(heatmaps, pafs, geometry)
            times.append(time.perf_counter() - began)
            if left() <= 0:
                break
        return statistics.fmean(times)

    if left() <= 0:
        return
    warm = seconds(split, [0])
    rough_s = min(warm, trained_image_s)
    yield dict.fromkeys(splits, warm - rough_s), rough_s + decoding_s([0])
    if left() <= 2 * warm:
        return
    one = {name: seconds(each, [0]) for name, each in splits.items()}
    affordable = int(EVALUATION_SHARE * left() / max(one[REPORT], 1e-9))
    count = min(SCORED_IMAGES, len(split), max(affordable, 1))
    chosen = [number * len(split) // count for number in range(count)]
    many = seconds(split, chosen) if count > 1 else one[REPORT]
    # Of a single image nothing tells what an evaluation takes apart from it.
    image_s = max(many - one[REPORT], 0.0) / (count - 1) if count > 1 else min(one.values())
    yield {name: max(each - image_s, 0.0) for name, each in one.items()}, image_s + decoding_s(chosen)


def _peak_memory() -> int:
    """Bytes that this process held at most."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
