"""Measure for some seconds what a study's trials cost on this machine: time per step, evaluation time and memory.

As many separate processes as the study has workers measure at once, through the trials' workload. Each sends every
result as soon as it has it; when the time is up the processes are killed and the results sent so far are used.
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

from bench.measure.cores import threads_for_each
from bench.measure.gpus import Gpu, starting_on
from bench.measure.process_tree import kill_tree
from bench.optimizers import optimizer_entry
from bench.storage import streams
from bench.trials.spec import TrialSpec
from bench.workloads import workload
from bench.workloads.of_study import TrainsWorkload, own_settings, workload_of
from bench.workloads.protocol import REPORT, SELECT, Costs, OnCosts, Split, StepBy
from posemodel.errors import PosemodelError

MEASURE_S = 30.0
"""Longest time that measuring may take in seconds, including the start of its processes."""
GRACE_S = 0.5
"""Seconds before the deadline at which a measuring process should end by itself."""
WORKER = "bench.engines.worker"
"""Module that a worker process imports before its first trial, besides the kind's own module."""


class EstimateError(PosemodelError):
    """The costs of a study's trials could not be measured."""


class MeasurableStudy(TrainsWorkload, Protocol):
    """A study whose trials train on a data set."""

    @property
    def data(self) -> Path:
        """Folder of the data set."""


@dataclass(frozen=True)
class Measured:
    """Measured costs from which a study's time is estimated."""

    costs: Costs
    scored: Mapping[Split, int]
    """Number of samples in each split that is scored."""
    data_s: float
    """Expected seconds for making the data set."""
    trained: int | None
    """Training samples per epoch; None if unknown."""

    def evaluation_s(self, split: Split) -> float:
        """Return the seconds of one evaluation on a split; 0 if none was measured."""
        return self.costs.score_s[split] + self.scored[split] * self.costs.image_s if self.costs.evaluated else 0.0

    def assumed(self, batch_size: int) -> "Measured":
        """Return costs that include evaluation; if unmeasured, an image costs as much as in a training step."""
        if self.costs.evaluated:
            return self
        image_s = max(self.costs.step_s.values()) / batch_size
        return replace(self, costs=replace(self.costs, score_s={SELECT: 0.0, REPORT: 0.0}, image_s=image_s))


def pieces_document(costs: Costs) -> dict[str, Any]:
    """Return the measured costs as a JSON document."""
    return {
        "step_s": {name: round(seconds, 5) for name, seconds in costs.step_s.items()},
        "step_by": costs.step_by,
        "evaluation_measured": costs.evaluated,
    }


def bound_text(costs: Costs) -> str:
    """Return the prefix of an estimated time: `at least ` if the evaluation was not measured."""
    if costs.step_by == "one image":
        return "about "
    return "" if costs.evaluated else "at least "


def missing_text(network: str, costs: Costs) -> str:
    """Return a sentence on what was measured if the time was too short for everything; otherwise empty."""
    if costs.evaluated and costs.step_by == "steps":
        return ""
    missing = "" if costs.evaluated else f"; the evaluation was not measured (the {MEASURE_S:.0f} s were used up)"
    step_s = f"{max(costs.step_s.values()):.3g} s"
    sentences: dict[StepBy, str] = {
        "one image": f"One step of {network} takes about {step_s}, by a single image",
        "first step": f"The first step of {network} took {step_s} (later ones are faster)",
        "steps": f"One step of {network} took {step_s}",
    }
    return f"{sentences[costs.step_by]}{missing}. "


def measure_study(
    study: MeasurableStudy,
    trials: Mapping[str, TrialSpec],
    *,
    workers: int,
    gpus: Sequence[Gpu] = (),
    awaited_images: int | None,
    trained: int | None,
    module: str,
) -> Measured:
    """Measure the costs of the study's trials within `MEASURE_S` seconds.

    Args:
        study: The study; measured on its data set, or on a few synthetic people if that is still to be made.
        trials: A typical trial of each optimizer, all with the same batch size.
        workers: Trials that will run at once.
        gpus: The GPU of each; empty: the device as it is.
        awaited_images: Images of the synthetic data set that is still to be made; None if the data exists.
        trained: Labelled samples to train on, if the data exists.
        module: The kind's own module, which a worker imports.

    Raises EstimateError if a process fails, or if not even one training step finished in time.
    """
    until = time.time() + MEASURE_S
    batch_size = next(iter(trials.values())).run.loader.batch_size
    study_workload = workload_of(study)
    with study_workload.probe_data(own_settings(study), study.data, awaited_images, batch_size) as probe:
        costs = measure(
            trials,
            probe.folder,
            processes=workers,
            gpus=gpus,
            threads=threads_for_each(workers),
            libraries=(WORKER, module),
            until=until,
        )
    return Measured(costs, probe.scored, probe.data_s, probe.trained or trained or None)


def measure(
    trials: Mapping[str, TrialSpec],
    data: Path,
    *,
    processes: int,
    gpus: Sequence[Gpu] = (),
    threads: int | None,
    libraries: Sequence[str] = (),
    until: float,
) -> Costs:
    """Measure in several processes at once, as the study's workers will run, and return the mean costs.

    Args:
        trials: One trial for each optimizer.
        data: Folder of the data set.
        processes: Number of processes.
        gpus: The GPU of each process; empty: what this process sees.
        threads: torch threads of each process; None leaves torch's default.
        libraries: Further modules that a worker imports.
        until: End of measuring, in seconds since the epoch.

    Raises EstimateError if a process fails, or if none has sent any costs in time.
    """
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, SpawnProcess] = {}
    latest: dict[Connection, Costs] = {}
    try:
        places: Sequence[Gpu | None] = gpus or [None] * processes
        for gpu in places:
            receive, send = context.Pipe(duplex=False)
            process = context.Process(
                target=_measure, args=(dict(trials), data, threads, libraries, time.time(), until - GRACE_S, send)
            )
            with starting_on(gpu):
                process.start()
            running[receive] = process
            send.close()
        open_ones = [*running]
        while open_ones and (remaining_s := until - time.time()) > 0:
            for connection in wait(open_ones, timeout=remaining_s):
                assert isinstance(connection, Connection)
                try:
                    answer = connection.recv()
                except EOFError:
                    open_ones.remove(connection)
                    _require_costs(running[connection], latest.get(connection))
                    continue
                if isinstance(answer, str):
                    raise EstimateError(f"The time estimate could not be measured: {answer}")
                latest[connection] = answer
    finally:
        for process in running.values():
            if process.pid is not None and process.is_alive():
                kill_tree(process.pid)  # including its loader workers
            process.join()
    if not latest:
        raise EstimateError(
            f"The time estimate could not be measured: not even one training step finished in {MEASURE_S:.0f} s."
        )
    costs = _mean([*latest.values()])
    costs = replace(costs, gpu_memory_bytes=costs.gpu_memory_bytes * processes // len(latest))
    usual = statistics.fmean(costs.step_s.values())
    return replace(costs, step_s={name: costs.step_s.get(name, usual) for name in trials})


def _require_costs(process: SpawnProcess, costs: Costs | None) -> None:
    """Raise EstimateError if a process ended without sending any costs."""
    if costs is None:
        process.join()
        raise EstimateError(
            f"The time estimate could not be measured: the measuring process ended with exit code {process.exitcode}"
        )


def _mean(costs: Sequence[Costs]) -> Costs:
    """Average each cost over the processes that measured it; memory is summed, with this process's own."""
    ranks = get_args(StepBy)
    best = max((each.step_by for each in costs), key=ranks.index)
    scored = [each for each in costs if each.evaluated]
    return Costs(
        start_s=statistics.fmean(each.start_s for each in costs),
        setup_s=statistics.fmean(each.setup_s for each in costs),
        step_s=_mean_by_name([each.step_s for each in costs if each.step_by == best]),
        score_s={split: statistics.fmean(each.score_s[split] for each in scored) for split in (SELECT, REPORT)}
        if scored
        else {},
        image_s=statistics.fmean(each.image_s for each in scored) if scored else 0.0,
        memory_bytes=sum(each.memory_bytes for each in costs) + psutil.Process().memory_info().rss,
        gpu_memory_bytes=sum(each.gpu_memory_bytes for each in costs),
        step_by=best,
    )


def _mean_by_name(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for each in values for name in each)
    return {name: statistics.fmean(each[name] for each in values if name in each) for name in names}


def _measure(
    trials: dict[str, TrialSpec],
    data: Path,
    threads: int | None,
    libraries: Sequence[str],
    started: float,
    until: float,
    answer: Connection,
) -> None:
    """Run as the measuring process: send Costs after each measured part, or a text if something fails."""
    streams.keep_open()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is handled by the parent process
    try:
        import torch  # here: the parent process needs no torch, and Ctrl-C must be ignored before this slow import

        for name in ("torch._dynamo", *libraries):  # as workers do before their first trial
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
    """Measure in this process; ``on_costs`` is called with the costs so far after each part, finally with all."""
    trials_workload = workload(next(iter(trials.values())).workload)
    factories = {name: optimizer_entry(trial.builds).factory(trial.hyperparameters) for name, trial in trials.items()}
    runs = {name: trial.train for name, trial in trials.items()}
    on_costs(trials_workload.costs(runs, factories, seconds=seconds, on_costs=on_costs))
