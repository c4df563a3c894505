"""What a trial is made of, measured by its workload in processes of their own, as many as the study's workers."""

import importlib
import multiprocessing
import signal
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

import psutil

from bench.optimizers import optimizer_entry
from bench.storage import streams
from bench.trials.phases import CONFIRM, TUNE, Phase
from bench.trials.spec import TrialSpec
from bench.workloads import workload
from bench.workloads.protocol import REPORT, SELECT, Costs, Split
from posemodel.errors import PosemodelError

SCORED: dict[Phase, Split] = {TUNE: SELECT, CONFIRM: REPORT}
"""The split that each phase is scored on."""


class EstimateError(PosemodelError):
    """The pieces of a study could not be measured."""


def measure(
    trials: dict[str, TrialSpec], data: Path, *, processes: int, threads: int | None, libraries: Sequence[str] = ()
) -> Costs:
    """The mean over so many processes that measure at once, as the study's workers will run.

    ``trials`` holds one trial (of the confirm phase) for each optimizer; ``libraries``: modules
    that a worker imports besides. Raises EstimateError if a process fails.
    """
    context = multiprocessing.get_context("spawn")
    found: list[Costs] = []
    running: list[tuple[SpawnProcess, Connection]] = []
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
        score_s={split: statistics.fmean(c.score_s[split] for c in found) for split in (SELECT, REPORT)},
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
    streams.keep_open()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the process that started this one
    try:
        import torch  # here: whoever only starts processes needs none, and by now Ctrl-C is left to it

        for name in ("torch._dynamo", *libraries):  # as the workers do, before their first trial
            importlib.import_module(name)
        if threads is not None:
            torch.set_num_threads(threads)
        start_s = time.time() - started
        answer.send(replace(_costs({name: spec.with_data(data) for name, spec in trials.items()}), start_s=start_s))
    except Exception as error:
        answer.send(f"{type(error).__name__}: {error}")


def _costs(trials: dict[str, TrialSpec]) -> Costs:
    its = workload(next(iter(trials.values())).workload)
    factories = {name: optimizer_entry(trial.builds).factory(trial.hyperparameters) for name, trial in trials.items()}
    return its.costs({name: trial.train for name, trial in trials.items()}, factories)
