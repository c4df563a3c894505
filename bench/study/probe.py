"""What a study's trials cost on this machine, measured by their workload in processes of their own for some seconds.

As many processes as the study's workers measure at once. They send each piece as soon as they know it, and are ended
when the time is over: what they have sent by then is used.
"""

import importlib
import multiprocessing
import signal
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Protocol, get_args

import psutil

from bench.measure.cores import usable_cores
from bench.measure.process_tree import kill_tree
from bench.optimizers import optimizer_entry
from bench.storage import streams
from bench.trials.spec import TrialSpec
from bench.workloads import workload
from bench.workloads.of_study import TrainsWorkload, own_settings, workload_of
from bench.workloads.protocol import REPORT, SELECT, Costs, OnCosts, Split, StepBy
from posemodel.errors import PosemodelError

MEASURE_S = 30.0
"""Seconds that measuring takes at most, starting its processes included."""
GRACE_S = 0.5
"""Seconds before the end at which a measuring process should be through by itself."""
WORKER = "bench.engines.worker"
"""What a process that runs trials imports before its first, beside the kind's own module."""


class EstimateError(PosemodelError):
    """The pieces of a study could not be measured."""


class MeasurableStudy(TrainsWorkload, Protocol):
    """A study whose trials train on a data set."""

    @property
    def data(self) -> Path:
        """Its folder."""


@dataclass(frozen=True)
class Measured:
    """The pieces that a study's time is added up from."""

    costs: Costs
    scored: Mapping[Split, int]
    """Samples of each split that is scored."""
    data_s: float
    """Seconds that making the data set will take."""
    trained: int | None
    """Samples that a trial trains on in an epoch; None: unknown."""

    def evaluation_s(self, split: Split) -> float:
        """Seconds of an evaluation on a split; 0 where none was measured."""
        return self.costs.score_s[split] + self.scored[split] * self.costs.image_s if self.costs.evaluated else 0.0

    def assumed(self, batch_size: int) -> "Measured":
        """Whole, where the time was over before an evaluation: an image of it for as long as one that is trained on."""
        if self.costs.evaluated:
            return self
        image_s = max(self.costs.step_s.values()) / batch_size
        return replace(self, costs=replace(self.costs, score_s={SELECT: 0.0, REPORT: 0.0}, image_s=image_s))


def pieces_document(costs: Costs) -> dict[str, Any]:
    """What was measured of a trial, as JSON."""
    return {
        "step_s": {name: round(seconds, 5) for name, seconds in costs.step_s.items()},
        "step_by": costs.step_by,
        "evaluation_measured": costs.evaluated,
    }


def bound_text(costs: Costs) -> str:
    """What stands before a time that is added up from these pieces: `at least ` where an evaluation is missing."""
    if costs.step_by == "one image":
        return "about "
    return "" if costs.evaluated else "at least "


def missing_text(network: str, costs: Costs) -> str:
    """How long a step took where the time was over before all was measured; empty where all was."""
    if costs.evaluated and costs.step_by == "steps":
        return ""
    missing = "" if costs.evaluated else f"; the evaluation was not measured ({MEASURE_S:.0f} s are over)"
    step_s = f"{max(costs.step_s.values()):.3g} s"
    said: dict[StepBy, str] = {
        "one image": f"One step of {network} takes about {step_s}, by a single image",
        "first step": f"The first step of {network} took {step_s} (later ones are faster)",
        "steps": f"One step of {network} took {step_s}",
    }
    return f"{said[costs.step_by]}{missing}. "


def measure_study(
    study: MeasurableStudy,
    trials: Mapping[str, TrialSpec],
    *,
    workers: int,
    awaited_images: int | None,
    trained: int | None,
    module: str,
) -> Measured:
    """Measure for some seconds, `MEASURE_S` at most, what the study's trials are made of.

    Args:
        study: The study; its data set is measured on, or a few synthetic people where it is still to be made.
        trials: A typical trial for each optimizer, all of one batch size.
        workers: Trials that will run at once.
        awaited_images: Size of the synthetic data set that is still to be made; None where the data stands.
        trained: Labelled samples to train on, where the data stands.
        module: The kind's own module that a worker imports.

    Raises EstimateError where a process fails, or not even one step is over in time.
    """
    until = time.time() + MEASURE_S
    batch_size = next(iter(trials.values())).run.loader.batch_size
    threads = max(1, usable_cores() // workers) if workers > 1 else None
    its = workload_of(study)
    with its.probe_data(own_settings(study), study.data, awaited_images, batch_size) as probe:
        costs = measure(
            trials, probe.folder, processes=workers, threads=threads, libraries=(WORKER, module), until=until
        )
    return Measured(costs, probe.scored, probe.data_s, probe.trained or trained or None)


def measure(
    trials: Mapping[str, TrialSpec],
    data: Path,
    *,
    processes: int,
    threads: int | None,
    libraries: Sequence[str] = (),
    until: float,
) -> Costs:
    """The mean over so many processes that measure at once, as the study's workers will run.

    ``trials`` holds one trial for each optimizer; ``libraries``: modules that a worker imports besides; ``until``: when
    measuring ends, in seconds since the epoch. Raises EstimateError if a process fails, or none has anything to say.
    """
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, SpawnProcess] = {}
    found: dict[Connection, Costs] = {}
    try:
        for _ in range(processes):
            receive, send = context.Pipe(duplex=False)
            process = context.Process(
                target=_measure, args=(dict(trials), data, threads, libraries, time.time(), until - GRACE_S, send)
            )
            process.start()
            running[receive] = process
            send.close()
        open_ones = [*running]
        while open_ones and (left := until - time.time()) > 0:
            for connection in wait(open_ones, timeout=left):
                assert isinstance(connection, Connection)
                try:
                    answer = connection.recv()
                except EOFError:
                    open_ones.remove(connection)
                    _require_costs(running[connection], found.get(connection))
                    continue
                if isinstance(answer, str):
                    raise EstimateError(f"The time estimate could not be measured: {answer}")
                found[connection] = answer
    finally:
        for process in running.values():
            if process.pid is not None and process.is_alive():
                kill_tree(process.pid)  # it, and the loader's workers that it may have
            process.join()
    if not found:
        raise EstimateError(
            f"The time estimate could not be measured: not even one training step was over in {MEASURE_S:.0f} s."
        )
    costs = _mean([*found.values()])
    usual = statistics.fmean(costs.step_s.values())
    return replace(costs, step_s={name: costs.step_s.get(name, usual) for name in trials})


def _require_costs(process: SpawnProcess, costs: Costs | None) -> None:
    """EstimateError where a process has ended without a word."""
    if costs is None:
        process.join()
        raise EstimateError(
            f"The time estimate could not be measured: the measuring process ended with exit code {process.exitcode}"
        )


def _mean(found: Sequence[Costs]) -> Costs:
    """The mean of each piece over the processes that got so far; memory is their sum."""
    ranks = get_args(StepBy)
    best = max((each.step_by for each in found), key=ranks.index)
    scored = [each for each in found if each.evaluated]
    return Costs(
        start_s=statistics.fmean(each.start_s for each in found),
        setup_s=statistics.fmean(each.setup_s for each in found),
        step_s=_mean_of([each.step_s for each in found if each.step_by == best]),
        score_s={split: statistics.fmean(each.score_s[split] for each in scored) for split in (SELECT, REPORT)}
        if scored
        else {},
        image_s=statistics.fmean(each.image_s for each in scored) if scored else 0.0,
        memory_bytes=sum(each.memory_bytes for each in found) + psutil.Process().memory_info().rss,
        gpu_memory_bytes=sum(each.gpu_memory_bytes for each in found),
        step_by=best,
    )


def _mean_of(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in found for name in each)
    return {name: statistics.fmean(each[name] for each in found if name in each) for name in names}


def _measure(
    trials: dict[str, TrialSpec],
    data: Path,
    threads: int | None,
    libraries: Sequence[str],
    started: float,
    until: float,
    answer: Connection,
) -> None:
    """The measuring process: sends Costs after each piece, or what went wrong in words."""
    streams.keep_open()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the process that started this one
    try:
        import torch  # here: whoever only starts processes needs none, and by now Ctrl-C is left to it

        for name in ("torch._dynamo", *libraries):  # as the workers do, before their first trial
            importlib.import_module(name)
        if threads is not None:
            torch.set_num_threads(threads)
        start_s = time.time() - started

        def send(costs: Costs) -> None:
            answer.send(replace(costs, start_s=start_s))

        costs_of({name: spec.with_data(data) for name, spec in trials.items()}, until - time.time(), send)
    except Exception as error:
        answer.send(f"{type(error).__name__}: {error}")


def costs_of(trials: Mapping[str, TrialSpec], seconds: float, on_costs: OnCosts) -> None:
    """Measure in this process; ``on_costs`` gets what is known after each piece, at last all of it."""
    its = workload(next(iter(trials.values())).workload)
    factories = {name: optimizer_entry(trial.builds).factory(trial.hyperparameters) for name, trial in trials.items()}
    runs = {name: trial.train for name, trial in trials.items()}
    on_costs(its.costs(runs, factories, seconds=seconds, on_costs=on_costs))
