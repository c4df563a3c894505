"""The measurements of a loader study: what is possible, what is measured next.

Every slice is in MLflow as soon as it is made; what is left is computed from these (`bench.kinds.loaders.plan`).
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
from bench.kinds.loaders.analysis.delivery import unrepeatable
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
from bench.measure.loader.living import Living
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.prediction import RESERVE, Need, predict, shortfall
from bench.measure.loader.probe import Probe, probe
from bench.measure.loader.sharding import StreamLook
from bench.measure.loader.transfers import measure_transfers
from bench.measure.loader.workload import DatasetWorkload, Workload
from bench.measure.page_cache import page_cache
from bench.records.measurements import MeasurementTracker, measurements, noted, slices
from bench.report.wording import counted, enumerate_items
from bench.trials.columns import rows_of
from posemodel.errors import DataError, SettingsError

READ_AHEAD_BYTES = 4_000_000_000
"""Of the data set's files are read once before the first measurement: all configurations load from memory."""
FILES_LOOKED_AT = 200
"""For the state of the page cache, spread evenly."""
SLACK = 2.0
"""A try of the search for the largest batch may take so many times as long as is predicted."""
WRONG_USAGE = f"{SettingsError.__name__}: "
"""How a measuring process tells a mistake of who called it."""


class LoaderMeasuring:
    """One process's work on a loader study."""

    def __init__(self, spec: LoaderSpec, tracker: MeasurementTracker, say: Callable[[int, str], None]) -> None:
        """``say`` gets the number of measurements on record, and what is done next."""
        self.spec, self.tracker, self.say = spec, tracker, say
        self.parent = ""
        self.workload: Workload = workload_of(spec)
        self.pinning = pinning_possible(spec)
        self.lives, self.slices = measurements(tracker), slices(tracker)
        self.looked: tuple[Probe, Reference | None] | None = None
        self.reference: tuple[int, ...] = ()
        self.stream: dict[str, Any] | None = None
        """What the look at a data set that is a stream has found."""
        self.limits = limits()
        self.gpu_bytes: dict[int, float] = {}
        """What a process took of a GPU's memory at most, by its batch size."""
        self.gpu_free_bytes = 0
        self.files = _spread(files_of(spec), FILES_LOOKED_AT)

    def look_first(self) -> None:
        """Look at the data before anything is on record: a data set that cannot be measured leaves no study, which
        would stand in the way of the mended one."""
        if not len(self.lives):
            self.looked = self._look()

    def run(self, parent: str) -> None:
        """Measure what is left; ``parent``: the study's own run in MLflow."""
        self.parent = parent
        block = self._next_block()
        if block is None and not self._search_is_due():
            self._say("all is measured: the result is shown again")
            return
        found, samples = self.looked or self._look()
        self._note(found, samples)
        while block is not None:
            self._run_block(block, found)
            block = self._next_block()
        if self._search_is_due():
            self._search_largest(found)

    def _next_block(self) -> Block | None:
        """What is left, of configurations that delivered other samples nothing."""
        lives = judged_measurements(self.lives, self.tracker, self.spec)
        return next_block(self.spec, lives, self.slices, pinning=self.pinning, cores=self.limits.cores)

    def _look_at_samples(self) -> Reference | None:
        """What one process makes of a data set of one's own: what its workers make is compared with that."""
        if not isinstance(self.workload, DatasetWorkload):
            return None
        spec = self.spec
        self._say(f"looking at the samples of {spec.dataset}: can they be made, and is each the same every time")
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
        found: Reference = answer.value
        if found.unlike is None:
            self.reference = () if spec.random_samples else found.hashes
        elif not spec.random_samples:
            self._say(f"no settings will be recommended. {unrepeatable(spec.dataset, found.unlike)}")
        return found

    def _require(self, answer: Answer) -> None:
        """Raises what is wrong with the data set or its step, in whatever process it shows."""
        if answer.error.startswith(WRONG_USAGE):
            raise SettingsError(answer.error.removeprefix(WRONG_USAGE))
        if answer.status != MeasurementStatus.COMPLETE:
            raise DataError(
                answer.error
                if answer.error.startswith("--")
                else f"study {self.spec.name}: the first samples could not be loaded and stepped on, without any "
                f"worker: {answer.error}"
            )

    def _look(self) -> tuple[Probe, Reference | None]:
        """What a sample takes; and the files are read once: the first configuration shall have no colder disk."""
        self._say("looking at the data: what a sample and a step take")
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
        found: Probe = answer.value
        if found.worker_error:
            self._say(f"a worker could not be looked at, what it needs is unknown: {found.worker_error}")
        return found, samples

    def _note(self, found: Probe, samples: Reference | None) -> None:
        """Keep what the look has found with the study."""
        if self.spec.device == "cuda":
            self.gpu_free_bytes = run_isolated(_gpu_free_bytes).value or 0
        if self.spec.device == "cuda" and noted(self.tracker, TRANSFERS) is None:
            copied = run_isolated(measure_transfers, found.sample_bytes * max(self.spec.batch_size)).value
            self.tracker.note(TRANSFERS, None if copied is None else vars(copied))
        if samples is not None:
            self.tracker.note(SAMPLES, {"looked_at": len(samples.hashes), "unlike": samples.unlike})
        if self.stream is not None:
            self.tracker.note(STREAM, self.stream)
        self.tracker.note("probe", vars(found))
        self.tracker.note("limits", vars(self.limits) | {"pinning": self.pinning})

    def _block(self, block: Block, *, stall_s: float) -> BlockRun:
        return BlockRun(
            self.spec,
            block,
            self.tracker,
            self.parent,
            make=partial(self._living, phase=block.panel.phase, stall_s=stall_s),
            on_slice=self._add_slice,
            on_life=self._add_life,
            page_cache=self._page_cache(),
        )

    def _run_block(self, block: Block, found: Probe) -> None:
        """Measure a block, as many of its processes side by side as memory carries."""
        running = self._block(block, stall_s=self.spec.stall_s)
        left = [(each, predict(found, each.configuration)) for each in block.contestants]
        for each, need in list(left):
            if why := shortfall(need, limits()):
                self._say(f"{_named(each)}: skipped, {why}")
                running.skip(each, need, why)
                left.remove((each, need))
        while left:
            number = self._side_by_side(left)
            names = enumerate_items([_named(each) for each, _ in left[:number]])
            self._say(f"batches of {left[0][0].configuration.batch_size}, block {block.number + 1}: {names}")
            held = running.run(left[:number])
            size = left[0][0].configuration.batch_size
            if held:
                self.gpu_bytes[size] = max(self.gpu_bytes.get(size, 0.0), held)
            left = left[number:]

    def _side_by_side(self, left: Sequence[tuple[Contestant, Need]]) -> int:
        """How many of those left, one at least, memory carries at once; a GPU's, by what they took of it before."""
        for number in range(2, len(left) + 1):
            if not (fits([need for _, need in left[:number]]) and self._fit_gpu(left[:number])):
                return number - 1
        return len(left)

    def _fit_gpu(self, those: Sequence[tuple[Contestant, Need]]) -> bool:
        if self.spec.device != "cuda":
            return True
        held = [self.gpu_bytes.get(each.configuration.batch_size) for each, _ in those]
        return None not in held and sum(filter(None, held)) <= RESERVE * self.gpu_free_bytes

    def _living(self, contestant: Contestant, share: float, *, phase: PhaseName, stall_s: float) -> Living:
        """The process of a contestant; what it delivers is looked at once, where that can be compared."""
        seen = {configuration_key(row) for row in rows_of(self.lives) if len(row["hashes"])}
        looked_at = phase != LARGEST and not contestant.own_loader and contestant.key not in seen
        return Living(
            own_loader_workload(self.spec) if contestant.own_loader else self.workload,
            contestant.configuration,
            hashed_batches=self.spec.hashed_batches if looked_at else 0,
            reference=self.reference if looked_at else (),
            compare_s=LEAST_S,
            stall_s=stall_s,
            memory_limit_bytes=memory_limit_bytes(share),
        )

    def _page_cache(self) -> str:
        """What a measurement finds: it warms the cache itself."""
        return page_cache(self.files).state if self.files else "unknown"

    def _add_slice(self, row: dict[str, Any]) -> None:
        self.slices = pd.concat([self.slices, pd.DataFrame([row])], ignore_index=True)

    def _add_life(self, row: dict[str, Any]) -> None:
        self.lives = pd.concat([self.lives, pd.DataFrame([row])], ignore_index=True)

    def _search_is_due(self) -> bool:
        return self.spec.largest_batch and noted(self.tracker, LARGEST) is None

    def _search_largest(self, look: Probe) -> None:
        """Try larger and larger batches, the step alone; each try is a row of its own phase."""
        before = self.lives[self.lives["phase"] == LARGEST] if len(self.lives) else self.lives
        known = {int(row["batch_size"]): _as_try(row) for row in rows_of(before)}

        def attempt(size: int) -> Try:
            interruption.check()
            if size in known:  # the search was interrupted
                return known[size]
            self._say(f"the largest batch that fits: trying {size}")
            one = Contestant(LoaderConfiguration(batch_size=size))
            panel = Panel(LARGEST, 0, (one,))
            patience = self.spec.stall_s + SLACK * size * (look.sample_s + look.step_sample_s)
            self._block(Block(panel, size, (one,), (), (one,)), stall_s=patience).run([(one, Need(0, 0))])
            return _as_try(self.lives.iloc[-1])

        found: Search = largest_that_fits(attempt, limit=self.spec.largest_batch_limit)
        self.tracker.note(LARGEST, {"largest": found.largest, "limited": found.limited, "ended": found.ended})

    def _say(self, text: str) -> None:
        self.say(len(self.lives), text)


def _named(contestant: Contestant) -> str:
    settings = contestant.configuration
    told = [counted(settings.num_workers, "worker")]
    told += ["pinned"] if settings.pin_memory else []
    default = LoaderConfiguration()
    told += [
        f"{name} {getattr(settings, name)}"
        for name in ("prefetch_factor", "persistent_workers", "start_method", "cv2_threads")
        if getattr(settings, name) != getattr(default, name)
    ]
    return contestant.own_loader or " ".join(told)


def _as_try(row: Mapping[str, Any] | pd.Series) -> Try:
    return Try(LoaderConfiguration(batch_size=row["batch_size"]), MeasurementStatus(row["status"]), row["error"])


def _gpu_free_bytes(_progress: Progress) -> int:
    return torch.cuda.mem_get_info()[0]


def _spread(files: list[Path], number: int) -> list[Path]:
    step = max(1, len(files) // number)
    return files[::step]
