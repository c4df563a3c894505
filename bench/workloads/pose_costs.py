"""Measure the costs of a trial of a pose network by running the real loop for a few seconds in this process.

The pieces are measured in order of importance and each is reported at once, as the time may end before the last: a
single image (of a slow network), a first step, steady steps, each optimizer's own step, an evaluation.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import psutil
import torch

from bench.measure.own_time import CheapSteps
from bench.workloads.protocol import REPORT, SELECT, Costs, MakeOptimizer, OnCosts, Split, StepBy
from posemodel.config import TrainSettings
from posemodel.data.augment import letterbox
from posemodel.data.layout import DataSet
from posemodel.data.loader import validation_loader
from posemodel.data.open_split import PackedSplit, open_split
from posemodel.data.targets import make_heatmaps, make_pafs
from posemodel.device import choose_device
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
"""A probe ends after PROBE_STEPS steps, or after PROBE_SECONDS seconds once two windows are measured."""
TRAINING_SHARE = 0.6
"""Share of the measuring time after which the probe ends even before its second window."""
EVALUATION_SHARE = 0.7
"""Share of the remaining time that an evaluation of several images may take, judged by one image."""
FORWARD_AND_BACKWARD = 3
"""Multiply-accumulates of a training step, in forward passes."""
SLOW_GMACS = 500.0
"""10^9 multiply-accumulates of a step above which a CPU first measures a single image: some seconds."""
STEPS_PER_WINDOW = 4
SCORED_IMAGES = 48
"""Maximum number of images of the measured evaluation."""
OPTIMIZER_STEPS = 3


class _ProbeEndedError(Exception):
    """Raised to end the probe's training when it has measured enough."""


def measure_costs(
    runs: Mapping[str, TrainSettings], factories: Mapping[str, MakeOptimizer], *, seconds: float, on_costs: OnCosts
) -> Costs:
    """Measure the costs of a study's runs, see `Workload.costs`; of all but the first only the optimizer's step."""
    deadline = time.perf_counter() + seconds
    name, run = next(iter(runs.items()))
    if choose_device(run.device).type == "cpu" and _is_slow(run):
        on_costs(_one_image_costs(run, factories[name], [*runs]))
    opened: list[PackedSplit] = []
    trained = _training_costs(run, factories[name], [*runs], seconds, on_costs, opened.append)
    on_costs(trained)
    device, skeleton = choose_device(run.device), opened[0].skeleton
    network, _ = initial_network(run, device, skeleton)
    initial = [weight.detach().clone() for weight in network.parameters()]
    optimizer_s: dict[str, float] = {}
    for key in runs:
        if time.perf_counter() < deadline:  # the remaining ones count as fast as the first
            optimizer_s[key] = _own_s(network, initial, factories[key], runs[key])
    step_s = trained.step_s[name]
    steps = {
        key: max(step_s + optimizer_s.get(key, 0.0) - optimizer_s[name], 0.0) if key in optimizer_s else step_s
        for key in runs
    }
    costs = replace(trained, step_s=steps)
    on_costs(costs)
    del network, initial  # the optimizers' steps have changed the weights, and perhaps their layout in memory
    network, _ = initial_network(run, device, skeleton)
    for score_s, image_s in _evaluation_costs(run, network, deadline, step_s / run.loader.batch_size):
        costs = replace(costs, score_s=score_s, image_s=image_s, memory_bytes=max(costs.memory_bytes, _peak_memory()))
        on_costs(costs)
    return costs


def _is_slow(run: TrainSettings) -> bool:
    """Return whether a step on a CPU may take longer than the measuring time, judged by the network's operations."""
    split = open_split(DataSet(run.data, run.files), run.train_split, skip_bad=run.skip_bad, look_at_images=False)
    gmacs: float = network_cost(run.network, run.size, split.skeleton)["gmacs"]
    return run.loader.batch_size * FORWARD_AND_BACKWARD * gmacs > SLOW_GMACS


def _one_image_costs(run: TrainSettings, factory: MakeOptimizer, names: list[str]) -> Costs:
    """Estimate a step as the first step on a single image, times the batch size."""
    batch = run.loader.batch_size
    loader = run.loader.model_copy(update={"batch_size": 1, "num_workers": 0, "persistent_workers": False})
    budget = {"steps": 2, "seconds": None, "val_every": 2, "ap_every": None, "evaluations": None}
    image_s: list[float] = []

    def on_metrics(_step: int, metrics: dict[str, float]) -> None:
        image_s.append(1 / metrics["images_per_s"])
        raise _ProbeEndedError

    began = time.perf_counter()
    with _until_probe_ends():
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
    run: TrainSettings,
    factory: MakeOptimizer,
    names: list[str],
    seconds: float,
    on_costs: OnCosts,
    on_open: Callable[[PackedSplit], None],
) -> Costs:
    """Measure setup and steps of the real loop; all ``names`` get the same step time.

    ``on_open`` is called with the training split.
    """
    # One step more than the probe takes, so that it ends before the run would be evaluated.
    steps = min(run.steps or PROBE_STEPS, PROBE_STEPS) + 1
    budget = {"steps": steps, "seconds": None, "val_every": steps, "ap_every": None, "evaluations": None}
    settings = run.model_copy(update={"log_every": STEPS_PER_WINDOW, **budget})
    device = choose_device(settings.device)
    batch = settings.loader.batch_size
    began = time.perf_counter()
    measured_setup_s: list[float] = []
    step_ends: list[float] = []
    first_step: list[tuple[int, float]] = []
    """Gradient evaluations of the optimizer's first step, and seconds of one."""
    window_step_s: list[float] = []
    loader_bytes: list[int] = [0]

    def costs_so_far(step_s: float, step_by: StepBy = "steps") -> Costs:
        return Costs(
            setup_s=measured_setup_s[0],
            step_s=dict.fromkeys(names, step_s),
            score_s={},
            image_s=0.0,
            memory_bytes=_peak_memory() + max(loader_bytes),
            gpu_memory_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0,
            step_by=step_by,
        )

    def measured_costs() -> Costs:
        """Return the costs with the seconds of a gradient evaluation, which is a step of an ordinary optimizer.

        They are those of windows, which wait for the device; before two, those between the ends of an optimizer's
        steps, if all of these take as many evaluations.
        """
        evaluations, first_s = first_step[0]
        if len(window_step_s) > 1 or (window_step_s and evaluations > 1):
            return costs_so_far(statistics.median(window_step_s))
        if len(step_ends) > 1:
            return costs_so_far(_median_between(step_ends) / evaluations)
        return costs_so_far(first_s, "first step")

    def on_metrics(step: int, metrics: dict[str, float]) -> None:
        loader_bytes.append(sum(child.memory_info().rss for child in psutil.Process().children(recursive=True)))
        if not measured_setup_s:
            measured_setup_s.append(time.perf_counter() - began)
            first_step.append((step, batch / metrics["images_per_s"]))
            on_costs(costs_so_far(first_step[0][1], "first step"))
        elif "images_per_s" in metrics:
            window_step_s.append(batch / metrics["images_per_s"])
        late = time.perf_counter() - began > measured_setup_s[0] + PROBE_SECONDS
        if step >= steps - 1 or (late and len(window_step_s) > 1):
            raise _ProbeEndedError

    def should_stop() -> bool:
        """Note the end of a step (called after each), and end the probe if it takes too long."""
        step_ends.append(time.perf_counter())
        if len(step_ends) > 1 and step_ends[-1] - began > TRAINING_SHARE * seconds:
            raise _ProbeEndedError
        return False

    with _until_probe_ends():
        train(
            settings,
            factory,
            on_metrics=on_metrics,
            on_open=lambda trained_on, _scored_on: on_open(trained_on),
            should_stop=should_stop,
        )
    return measured_costs()


def _median_between(moments: list[float]) -> float:
    return statistics.median(later - earlier for earlier, later in pairwise(moments))


@contextmanager
def _until_probe_ends() -> Iterator[None]:
    try:
        yield
    except _ProbeEndedError:
        return


def _own_s(network: PoseNetwork, initial: Sequence[torch.Tensor], factory: MakeOptimizer, run: TrainSettings) -> float:
    """Return the median seconds of an optimizer's own work for a gradient evaluation, on the network's parameters.

    These begin with the values ``initial``, and without gradients, whichever optimizers were timed before.
    """
    network.zero_grad(set_to_none=True)
    with torch.no_grad():
        for weight, value in zip(network.parameters(), initial, strict=True):
            weight.copy_(value)
    cheap = CheapSteps(network, factory, steps=run.steps)
    cheap.step()  # the first step creates the optimizer's state
    steps = [cheap.step() for _ in range(OPTIMIZER_STEPS)]
    return statistics.median(seconds / evaluations for seconds, evaluations in steps)


def _evaluation_costs(
    settings: TrainSettings, network: PoseNetwork, deadline: float, trained_image_s: float
) -> Iterator[tuple[dict[Split, float], float]]:
    """Yield the seconds of an evaluation: split -> fixed part, and the part of each image; roughly, then precisely.

    An untrained network finds nobody, so decoding is measured separately, on perfect maps. A network that starts from
    weights finds people, so its decoding is part of the evaluation. In the rough result an image takes at most the time
    of an image in training (``trained_image_s``), and the rest of an evaluation of one image is the fixed part.
    """
    geometry = input_geometry(settings.network, settings.size)
    data = DataSet(settings.data, settings.files)
    splits = {
        name: open_split(data, name, skip_bad=settings.skip_bad, exif=settings.exif, skeleton=network.skeleton)
        for name in (SELECT, REPORT)
    }
    split = splits[REPORT]
    device = choose_device(settings.device)

    def seconds(split: PackedSplit, positions: list[int]) -> float:
        part = split.subset(positions)
        began = time.perf_counter()
        loader = validation_loader(part, geometry, settings.loader)
        validate(network, loader, part, geometry, device, with_scores=True)
        return time.perf_counter() - began

    def remaining_s() -> float:
        return deadline - time.perf_counter()

    def decoding_s(positions: list[int]) -> float:
        if settings.weights is not None:
            return 0.0
        times = []
        for position in positions:
            people = letterbox(*split.size(position), geometry.size).people(split.people(position), split.skeleton)
            heatmaps, pafs = make_heatmaps(people, geometry), make_pafs(people, geometry, split.skeleton)
            began = time.perf_counter()
            decode(heatmaps, pafs, geometry, skeleton=split.skeleton)
            times.append(time.perf_counter() - began)
            if remaining_s() <= 0:
                break
        return statistics.fmean(times)

    if remaining_s() <= 0:
        return
    warm_up_s = seconds(split, [0])
    rough_s = min(warm_up_s, trained_image_s)
    yield dict.fromkeys(splits, warm_up_s - rough_s), rough_s + decoding_s([0])
    if remaining_s() <= 2 * warm_up_s:
        return
    one_image_s = {name: seconds(each, [0]) for name, each in splits.items()}
    affordable = int(EVALUATION_SHARE * remaining_s() / one_image_s[REPORT])
    count = min(SCORED_IMAGES, len(split), max(affordable, 1))
    chosen = [number * len(split) // count for number in range(count)]
    all_images_s = seconds(split, chosen) if count > 1 else one_image_s[REPORT]
    fixed_s, image_s = _fixed_and_image_s(one_image_s, all_images_s, count)
    yield fixed_s, image_s + decoding_s(chosen)


def _fixed_and_image_s(
    one_image_s: Mapping[Split, float], all_images_s: float, count: int
) -> tuple[dict[Split, float], float]:
    """Separate the fixed part of an evaluation of each split from the part of an image.

    ``one_image_s``: seconds for one image of each split; ``all_images_s``: seconds for ``count`` of the report split.
    """
    # With a single image the fixed part cannot be separated from the image's.
    image_s = max(all_images_s - one_image_s[REPORT], 0.0) / (count - 1) if count > 1 else min(one_image_s.values())
    return {name: max(each - image_s, 0.0) for name, each in one_image_s.items()}, image_s


def _peak_memory() -> int:
    """Return the peak memory of this process in bytes."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
