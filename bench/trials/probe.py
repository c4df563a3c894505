"""What a trial is made of, measured: the real loop for a few seconds, in processes of its own."""

import importlib
import multiprocessing
import signal
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench.spec import CONFIRM, TUNE, Phase, TrialSpec
from posemodel.errors import PosemodelError

if TYPE_CHECKING:
    from posemodel.network import PoseNetwork
    from posemodel.training import OptimizerFactory

PROBE_STEPS = 24
PROBE_SECONDS = 6.0
"""A probe ends at whichever comes first, but not before its second window."""
STEPS_PER_WINDOW = 4
SCORED_IMAGES = 48
OPTIMIZER_STEPS = 3
SCORED: dict[Phase, str] = {TUNE: "select", CONFIRM: "report"}
"""The split that each phase is scored on."""


class EstimateError(PosemodelError):
    """The pieces of a study could not be measured."""


@dataclass(frozen=True)
class Costs:
    """What one process measured: seconds of each piece, and memory in bytes."""

    start_s: float
    """From the process's start to its first trial: interpreter and libraries."""
    setup_s: float
    """From a trial's start to its first step's end: data set opened, network built, kernels warm."""
    step_s: dict[str, float]
    """One training step with each optimizer, loading included."""
    score_s: dict[Phase, float]
    """An evaluation of no images in each phase: annotations read, COCO's scoring started."""
    image_s: float
    """What each image adds to an evaluation: loading, the network, decoding, scoring."""
    memory_bytes: int
    gpu_memory_bytes: int


def measure(
    trials: dict[str, TrialSpec], data: Path, *, processes: int, threads: int | None, libraries: Sequence[str] = ()
) -> Costs:
    """The mean over so many processes that measure at once, as the study's workers will run.

    ``trials`` holds one trial (of the confirm phase) for each optimizer; ``libraries``: modules
    that a worker imports besides. Raises EstimateError if a process fails.
    """
    context = multiprocessing.get_context("spawn")
    found: list[Costs] = []
    running: list[tuple[BaseProcess, Connection]] = []
    try:
        for _ in range(processes):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(target=_measure, args=(trials, data, threads, libraries, time.time(), send))
            process.start()
            running.append((process, receive))
            send.close()
        for process, receive in running:
            try:
                answer = receive.recv()
            except EOFError:
                process.join()
                answer = f"the measuring process ended with exit code {process.exitcode}"
            if isinstance(answer, str):
                raise EstimateError(f"The time estimate could not be measured: {answer}")
            found.append(answer)
    finally:
        for process, _ in running:
            process.terminate()
            process.join()
    return Costs(
        start_s=statistics.fmean(c.start_s for c in found),
        setup_s=statistics.fmean(c.setup_s for c in found),
        step_s={name: statistics.fmean(c.step_s[name] for c in found) for name in trials},
        score_s={phase: statistics.fmean(c.score_s[phase] for c in found) for phase in (TUNE, CONFIRM)},
        image_s=statistics.fmean(c.image_s for c in found),
        memory_bytes=sum(c.memory_bytes for c in found) + psutil.Process().memory_info().rss,
        gpu_memory_bytes=sum(c.gpu_memory_bytes for c in found),
    )


def _measure(
    trials: dict[str, TrialSpec],
    data: Path,
    threads: int | None,
    libraries: Sequence[str],
    started: float,
    answer: Connection,
) -> None:
    """The measuring process: sends Costs, or what went wrong in words."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the process that started this one
    try:
        import torch
        import torch._dynamo  # as the workers do, before their first trial

        for name in libraries:
            importlib.import_module(name)

        if threads is not None:
            torch.set_num_threads(threads)
        answer.send(_costs({name: spec.with_data(data) for name, spec in trials.items()}, time.time() - started))
    except Exception as error:
        answer.send(f"{type(error).__name__}: {error}")


class _EnoughError(Exception):
    """The probe has seen enough windows."""


def _costs(trials: dict[str, TrialSpec], start_s: float) -> Costs:
    import torch

    from bench.optimizers import optimizer_entry
    from posemodel.device import choose_device
    from posemodel.network import build_network
    from posemodel.training import train

    name, spec = next(iter(trials.items()))
    # A step more than the probe takes: it ends before the run would be evaluated.
    steps = min(spec.train.steps or PROBE_STEPS, PROBE_STEPS) + 1
    budget = {"steps": steps, "seconds": None, "val_every": steps, "ap_every": None, "evaluations": None}
    settings = spec.train.model_copy(update={"log_every": STEPS_PER_WINDOW, **budget})
    device = choose_device(settings.device)
    batch = settings.loader.batch_size
    factories = {key: optimizer_entry(trial.builds).factory(trial.hyperparameters) for key, trial in trials.items()}
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
    network = build_network(settings.network, seed=0).to(device, memory_format=torch.channels_last)
    network.precision = settings.precision
    own = {key: _optimizer_step_s(network, factory) for key, factory in factories.items()}
    step_s = statistics.median(windows) if windows else first[0]
    score_s, image_s = _evaluation_costs(spec, network)
    return Costs(
        start_s=start_s,
        setup_s=first[0],
        step_s={key: max(step_s - own[name] + own[key], 0.0) for key in trials},
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


def _optimizer_step_s(network: "PoseNetwork", factory: "OptimizerFactory") -> float:
    """Median seconds of an optimizer's step on the network's parameters."""
    import torch

    from posemodel.device import synchronize

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


def _evaluation_costs(spec: TrialSpec, network: "PoseNetwork") -> tuple[dict[Phase, float], float]:
    """Seconds of each phase's evaluation apart from its images, and for each image.

    The network is untrained and finds nobody, so decoding is measured on perfect maps beside it.
    """
    from posemodel.data.augment import letterbox
    from posemodel.data.coco import PackedSplit, open_split
    from posemodel.data.targets import make_heatmaps, make_pafs
    from posemodel.decode import decode
    from posemodel.device import choose_device
    from posemodel.network import input_geometry
    from posemodel.prediction import validate, validation_loader

    settings = spec.train
    geometry = input_geometry(settings.network, settings.size)
    splits = {phase: open_split(settings.data, name, skip_bad=settings.skip_bad) for phase, name in SCORED.items()}
    device = choose_device(settings.device)

    def seconds(split: PackedSplit, positions: list[int]) -> float:
        part = split.subset(positions)
        began = time.perf_counter()
        loader = validation_loader(part, geometry, settings.loader)
        validate(network, loader, part, geometry, device, with_scores=True)
        return time.perf_counter() - began

    split = splits[CONFIRM]
    count = min(SCORED_IMAGES, len(split))
    chosen = [number * len(split) // count for number in range(count)]
    seconds(split, chosen[:1])  # warms up
    one = {phase: seconds(each, [0]) for phase, each in splits.items()}
    many = seconds(split, chosen)
    image_s = max(many - one[CONFIRM], 0.0) / max(count - 1, 1)
    decoding = 0.0
    for position in chosen:
        people = letterbox(*split.size(position), geometry.size).people(split.people(position))
        heatmaps, pafs = make_heatmaps(people, geometry), make_pafs(people, geometry)
        began = time.perf_counter()
        decode(heatmaps, pafs, geometry)
        decoding += time.perf_counter() - began
    return {phase: max(each - image_s, 0.0) for phase, each in one.items()}, image_s + decoding / count


def _peak_memory() -> int:
    """Bytes that this process held at most."""
    try:
        import resource
    except ImportError:  # Windows
        return psutil.Process().memory_info().peak_wset
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
