"""Carries out a loader study: checks the data, then measures the planned blocks and searches the largest batch.

Every slice is in MLflow as soon as it is made; what remains is computed from these (`bench.kinds.loaders.plan`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bench.engines import interruption
from bench.kinds.loaders.analysis.configurations import configuration_key
from bench.kinds.loaders.analysis.delivery import unrepeatable_sentence
from bench.kinds.loaders.analysis.stream import STREAM, stream_sentences
from bench.kinds.loaders.block import BlockRun, fits, memory_limit_bytes
from bench.kinds.loaders.data import files_of, own_loader_workload, pinning_possible, workload_of
from bench.kinds.loaders.phases import LARGEST, PhaseName
from bench.kinds.loaders.plan import Block, Contestant, Panel, next_block
from bench.kinds.loaders.results import SAMPLES, TRANSFERS, judged_measurements
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.limits import limits
from bench.measure.loader.comparison import LEAST_S, Reference, look_at_samples
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.isolated import Answer, Progress, run_isolated
from bench.measure.loader.largest_batch import Search, Try, largest_that_fits
from bench.measure.loader.measuring_process import MeasuringProcess
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.prediction import RESERVE, Need, predict, shortfall
from bench.measure.loader.probe import Probe, probe
from bench.measure.loader.sharding import StreamLook
from bench.measure.loader.transfers import measure_transfers
from bench.measure.loader.workload import DatasetWorkload, Workload
from bench.measure.page_cache import page_cache
from bench.records.measurements import MeasurementTracker, measurements, read_document, slices
from bench.report.wording import counted, enumerate_items
from bench.trials.columns import rows_of
from posemodel.errors import DataError, SettingsError

READ_AHEAD_BYTES = 4_000_000_000
"""Maximum bytes of the data set's files that are read once beforehand, so that all configurations load from memory."""
FILES_LOOKED_AT = 200
"""Number of files, evenly spread, that are examined for the state of the page cache."""
SLACK = 2.0
"""Maximum time of an attempt of the largest-batch search, in multiples of its predicted time."""
WRONG_USAGE = f"{SettingsError.__name__}: "
"""Prefix of a measuring process's error if the caller's settings are wrong."""


class LoaderMeasuring:
    """One session's work on a loader study."""

    def __init__(self, spec: LoaderSpec, tracker: MeasurementTracker, say: Callable[[int, str], None]) -> None:
        """``say``: called with the number of recorded measurements, and what is done next."""
        self.spec, self.tracker, self.say = spec, tracker, say
        self.parent = ""
        self.workload: Workload = workload_of(spec)
        self.pinning = pinning_possible(spec)
        self.processes, self.slices = measurements(tracker), slices(tracker)
        self.first_look: tuple[Probe, Reference | None] | None = None
        self.reference: tuple[int, ...] = ()
        self.stream: dict[str, Any] | None = None
        """Facts about a data set that is a stream (`StreamLook`); None otherwise."""
        self.limits = limits()
        self.gpu_bytes: dict[int, float] = {}
        """Maximum GPU memory in bytes that a process took, by batch size."""
        self.gpu_free_bytes = 0
        self.files = _spread(files_of(spec), FILES_LOOKED_AT)

    def check_data(self) -> None:
        """Check the data before anything is recorded: a data set that cannot be measured must not leave a study whose
        name blocks that of the corrected data set."""
        if not len(self.processes):
            self.first_look = self._look()

    def run(self, parent: str) -> None:
        """Measure what remains; ``parent``: id of the study's own run in MLflow."""
        self.parent = parent
        block = self._next_block()
        if block is None and not self._search_is_due():
            self._say("everything is measured already: showing the recorded result")
            return
        probed, samples = self.first_look or self._look()
        self._note(probed, samples)
        while block is not None:
            self._run_block(block, probed)
            block = self._next_block()
        if self._search_is_due():
            self._search_largest(probed)

    def _next_block(self) -> Block | None:
        """Return the next block; configurations that delivered other samples are not measured any further."""
        processes = judged_measurements(self.processes, self.tracker, self.spec)
        return next_block(self.spec, processes, self.slices, pinning=self.pinning, cores=self.limits.cores)

    def _look_at_samples(self) -> Reference | None:
        """Return the user's samples as one process makes them, to compare them with those of workers; None if that is
        impossible."""
        if not isinstance(self.workload, DatasetWorkload):
            return None
        spec = self.spec
        self._say(f"checking the samples of {spec.dataset}: can they be made, and is each the same every time")
        answer = look_at_samples(
            self.workload,
            batch_size=min(spec.batch_size),
            most_workers=max(spec.num_workers),
            seconds=LEAST_S,
            stall_s=spec.stall_s,
        )
        self._require(answer)
        if isinstance(answer.value, StreamLook):
            self.stream = asdict(answer.value)
            for sentence in stream_sentences(spec.dataset, self.stream, max(spec.num_workers)):
                self._say(sentence)
            return None
        reference: Reference = answer.value
        if reference.unlike is None:
            self.reference = () if spec.random_samples else reference.hashes
        elif not spec.random_samples:
            self._say(f"no settings will be recommended. {unrepeatable_sentence(spec.dataset, reference.unlike)}")
        return reference

    def _require(self, answer: Answer) -> None:
        """Raise the error of the data set or its step that occurred in another process."""
        if answer.error.startswith(WRONG_USAGE):
            raise SettingsError(answer.error.removeprefix(WRONG_USAGE))
        if answer.status != MeasurementStatus.COMPLETE:
            raise DataError(
                answer.error
                if answer.error.startswith("--")
                else f"study {self.spec.name}: loading the first samples and taking a step on them failed "
                f"(num_workers=0): {answer.error}"
            )

    def _look(self) -> tuple[Probe, Reference | None]:
        """Estimate time and memory of a sample; read the files once, so that the first configuration does not load from
        a cold disk."""
        self._say("looking at the data: measuring the memory and time of a sample and a step")
        budget = READ_AHEAD_BYTES
        for path in files_of(self.spec):
            budget -= path.stat().st_size
            if budget < 0:
                break
            path.read_bytes()
        samples = self._look_at_samples()
        answer = probe(
            self.workload,
            with_workers=max(self.spec.num_workers) > 0,
            least_batch=min(self.spec.batch_size),
            stall_s=self.spec.stall_s,
        )
        self._require(answer)
        probed: Probe = answer.value
        if probed.worker_error:
            self._say(f"a worker could not be examined, so its need is unknown: {probed.worker_error}")
        return probed, samples

    def _note(self, probed: Probe, samples: Reference | None) -> None:
        """Store what the check of the data has found with the study's run."""
        if self.spec.device == "cuda":
            self.gpu_free_bytes = run_isolated(_gpu_free_bytes).value or 0
        if self.spec.device == "cuda" and read_document(self.tracker, TRANSFERS) is None:
            copied = run_isolated(measure_transfers, probed.sample_bytes * max(self.spec.batch_size)).value
            self.tracker.store_document(TRANSFERS, None if copied is None else vars(copied))
        if samples is not None:
            self.tracker.store_document(SAMPLES, {"looked_at": len(samples.hashes), "unlike": samples.unlike})
        if self.stream is not None:
            self.tracker.store_document(STREAM, self.stream)
        self.tracker.store_document("probe", vars(probed))
        self.tracker.store_document("limits", vars(self.limits) | {"pinning": self.pinning})

    def _block(self, block: Block, *, stall_s: float) -> BlockRun:
        return BlockRun(
            self.spec,
            block,
            self.tracker,
            self.parent,
            make=partial(self._process_of, phase=block.panel.phase, stall_s=stall_s),
            on_slice=self._add_slice,
            on_process=self._add_process,
            page_cache=self._page_cache(),
        )

    def _run_block(self, block: Block, probed: Probe) -> None:
        """Measure a block, with as many of its processes side by side as fit into memory."""
        running = self._block(block, stall_s=self.spec.stall_s)
        waiting = [(each, predict(probed, each.configuration)) for each in block.contestants]
        for each, need in list(waiting):
            if why := shortfall(need, limits()):
                self._say(f"{_contestant_text(each)}: skipped, {why}")
                running.skip(each, need, why)
                waiting.remove((each, need))
        while waiting:
            number = self._side_by_side(waiting)
            names = enumerate_items([_contestant_text(each) for each, _ in waiting[:number]])
            self._say(f"batches of {waiting[0][0].configuration.batch_size}, block {block.number + 1}: {names}")
            gpu_bytes = running.run(waiting[:number])
            size = waiting[0][0].configuration.batch_size
            if gpu_bytes:
                self.gpu_bytes[size] = max(self.gpu_bytes.get(size, 0.0), gpu_bytes)
            waiting = waiting[number:]

    def _side_by_side(self, waiting: Sequence[tuple[Contestant, Need]]) -> int:
        """Return how many of the waiting contestants fit into memory at once (at least one); on a GPU judged by their
        earlier use."""
        for number in range(2, len(waiting) + 1):
            if not (fits([need for _, need in waiting[:number]]) and self._fit_gpu(waiting[:number])):
                return number - 1
        return len(waiting)

    def _fit_gpu(self, contestants: Sequence[tuple[Contestant, Need]]) -> bool:
        if self.spec.device != "cuda":
            return True
        used = [self.gpu_bytes.get(each.configuration.batch_size) for each, _ in contestants]
        return None not in used and sum(filter(None, used)) <= RESERVE * self.gpu_free_bytes

    def _process_of(
        self, contestant: Contestant, share: float, *, phase: PhaseName, stall_s: float
    ) -> MeasuringProcess:
        """Return a process for a contestant; the contestant's first process also compares the delivered samples, if
        possible."""
        compared_keys = {configuration_key(row) for row in rows_of(self.processes) if len(row["hashes"])}
        compares = phase != LARGEST and not contestant.own_loader and contestant.key not in compared_keys
        return MeasuringProcess(
            own_loader_workload(self.spec) if contestant.own_loader else self.workload,
            contestant.configuration,
            hashed_batches=self.spec.hashed_batches if compares else 0,
            reference=self.reference if compares else (),
            compare_s=LEAST_S,
            stall_s=stall_s,
            memory_limit_bytes=memory_limit_bytes(share),
        )

    def _page_cache(self) -> str:
        """State of the page cache before the measurement, which itself fills it."""
        return page_cache(self.files).state if self.files else "unknown"

    def _add_slice(self, row: dict[str, Any]) -> None:
        self.slices = pd.concat([self.slices, pd.DataFrame([row])], ignore_index=True)

    def _add_process(self, row: dict[str, Any]) -> None:
        self.processes = pd.concat([self.processes, pd.DataFrame([row])], ignore_index=True)

    def _search_is_due(self) -> bool:
        return self.spec.largest_batch and read_document(self.tracker, LARGEST) is None

    def _search_largest(self, probed: Probe) -> None:
        """Run the step alone on larger and larger batches; each attempt is a row of the phase `largest`."""
        before = self.processes[self.processes["phase"] == LARGEST] if len(self.processes) else self.processes
        known = {int(row["batch_size"]): _as_try(row) for row in rows_of(before)}

        def attempt(size: int) -> Try:
            interruption.check()
            if size in known:  # tried before the search was interrupted
                return known[size]
            self._say(f"the largest batch that fits: trying {size}")
            one = Contestant(LoaderConfiguration(batch_size=size))
            panel = Panel(LARGEST, 0, (one,))
            patience = self.spec.stall_s + SLACK * size * (probed.sample_s + probed.step_sample_s)
            self._block(Block(panel, size, (one,), (), (one,)), stall_s=patience).run([(one, Need(0, 0))])
            return _as_try(self.processes.iloc[-1])

        search: Search = largest_that_fits(attempt, limit=self.spec.largest_batch_limit)
        self.tracker.store_document(
            LARGEST, {"largest": search.largest, "limited": search.limited, "ended": search.ended}
        )

    def _say(self, text: str) -> None:
        self.say(len(self.processes), text)


def _contestant_text(contestant: Contestant) -> str:
    settings = contestant.configuration
    words = [counted(settings.num_workers, "worker")]
    words += ["pinned"] if settings.pin_memory else []
    default = LoaderConfiguration()
    words += [
        f"{name} {getattr(settings, name)}"
        for name in ("prefetch_factor", "persistent_workers", "start_method", "cv2_threads")
        if getattr(settings, name) != getattr(default, name)
    ]
    return contestant.own_loader or " ".join(words)


def _as_try(row: Mapping[str, Any] | pd.Series) -> Try:
    return Try(LoaderConfiguration(batch_size=row["batch_size"]), MeasurementStatus(row["status"]), row["error"])


def _gpu_free_bytes(_progress: Progress) -> int:
    return torch.cuda.mem_get_info()[0]


def _spread(files: list[Path], number: int) -> list[Path]:
    step = max(1, len(files) // number)
    return files[::step]
