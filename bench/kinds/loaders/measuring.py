"""The measurements of a loader study: what is possible, what is measured next, what is recorded of it.

Every measurement is a run in MLflow as soon as it is made; what is left is computed from these
(`bench.kinds.loaders.plan`).
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from bench.engines import interruption
from bench.kinds.loaders.analysis.delivery import unrepeatable
from bench.kinds.loaders.data import files_of, pinning_possible, workload_of
from bench.kinds.loaders.phases import LARGEST
from bench.kinds.loaders.plan import Planned, pending
from bench.kinds.loaders.results import SAMPLES, TRANSFERS, judged_measurements
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.limits import limits
from bench.measure.loader.comparison import Reference, look_at_samples
from bench.measure.loader.configuration import LoaderConfiguration
from bench.measure.loader.isolated import Answer, run_isolated
from bench.measure.loader.largest_batch import Search, largest_that_fits, try_batch
from bench.measure.loader.loop import LoopPlan
from bench.measure.loader.measurement import Arm, Measurement, measure, skipped
from bench.measure.loader.outcome import MeasurementStatus
from bench.measure.loader.prediction import RESERVE, Need, epoch_batches, predict, shortfall
from bench.measure.loader.probe import Probe, probe
from bench.measure.loader.transfers import measure_transfers
from bench.measure.loader.workload import DatasetWorkload, Workload
from bench.measure.noise import measure_noise
from bench.measure.page_cache import page_cache
from bench.records.measurements import MeasurementTracker, measurements, noted
from bench.trials.record import now_ms
from posemodel.errors import DataError, SettingsError

NOISE_S = 0.5
"""Of the fixed kernel, before each block."""
READ_AHEAD_BYTES = 4_000_000_000
"""Of the data set's files are read once before the first measurement: all configurations load from memory."""
FILES_LOOKED_AT = 200
"""For the state of the page cache, spread evenly."""
SLACK = 2.0
"""A loop may take so many times as long as its epochs were laid out for."""
WRONG_USAGE = f"{SettingsError.__name__}: "
"""How a measuring process tells a mistake of who called it."""
QUANTILES = 101


class LoaderMeasuring:
    """One process's work on a loader study."""

    def __init__(self, spec: LoaderSpec, tracker: MeasurementTracker, say: Callable[[int, str], None]) -> None:
        """``say`` gets the number of measurements on record, and what is done next."""
        self.spec, self.tracker, self.say = spec, tracker, say
        self.parent = ""
        self.workload: Workload = workload_of(spec)
        self.pinning = pinning_possible(spec)
        self.rows = measurements(tracker)
        self.looked: tuple[Probe, Reference | None] | None = None
        self.reference: tuple[int, ...] = ()
        self.limits = limits()
        self.files = _spread(files_of(spec), FILES_LOOKED_AT)

    def look_first(self) -> None:
        """Look at the data before anything is on record: a data set that cannot be measured leaves no study, which
        would stand in the way of the mended one."""
        if not len(self.rows):
            self.looked = self._look()

    def run(self, parent: str) -> None:
        """Measure what is left; ``parent``: the study's own run in MLflow."""
        self.parent = parent
        left = self._left()
        if not left and not self._search_is_due():
            self._say("all is measured: the result is shown again")
            return
        found, samples = self.looked or self._look()
        self._note(found, samples)
        while left:
            self._block(left, found)
            left = self._left()
        if self._search_is_due():
            self._search_largest(found)

    def _left(self) -> list[Planned]:
        """What is left of the block in hand; of a configuration that delivered other samples, nothing."""
        return pending(self.spec, judged_measurements(self.tracker, self.spec), pinning=self.pinning)

    def _look_at_samples(self) -> Reference | None:
        """What one process makes of a data set of one's own: what its workers make is compared with that."""
        if not isinstance(self.workload, DatasetWorkload):
            return None
        spec = self.spec
        self._say(f"looking at the samples of {spec.dataset}: can they be made, and is each the same every time")
        answer = look_at_samples(
            self.workload, batch_size=min(spec.batch_size), seconds=spec.seconds, stall_s=spec.stall_s
        )
        self._require(answer)
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
        if self.spec.device == "cuda" and noted(self.tracker, TRANSFERS) is None:
            copied = run_isolated(measure_transfers, found.sample_bytes * max(self.spec.batch_size)).value
            self.tracker.note(TRANSFERS, None if copied is None else vars(copied))
        if samples is not None:
            self.tracker.note(SAMPLES, {"looked_at": len(samples.hashes), "unlike": samples.unlike})
        self.tracker.note("probe", vars(found))
        self.tracker.note("limits", vars(self.limits) | {"pinning": self.pinning})

    def _block(self, left: Sequence[Planned], found: Probe) -> None:
        self._say("measuring the machine's noise")
        noise = measure_noise(NOISE_S)
        for planned in left:
            interruption.check()
            need = predict(found, planned.configuration)
            why = shortfall(need, limits()) if planned.arm != Arm.COMPUTE else ""
            self._say(f"block {planned.block + 1}: {_named(planned)}" + (f": skipped, {why}" if why else ""))
            began_ms = now_ms()
            cache = self._page_cache()
            measured = skipped(planned.configuration, Arm(planned.arm), why) if why else self._measure(planned, found)
            with interruption.defer_interrupts():
                self._record(planned, measured, need, noise.spread, cache, began_ms)

    def _measure(self, planned: Planned, found: Probe) -> Measurement:
        arm, spec = Arm(planned.arm), self.spec
        batches = epoch_batches(
            found,
            planned.configuration,
            seconds=spec.seconds / spec.epochs,
            cores=self.limits.cores,
            loads=arm != Arm.COMPUTE,
            computes=arm != Arm.LOADER,
        )
        return measure(
            self.workload,
            planned.configuration,
            arm,
            LoopPlan(epochs=spec.epochs, seconds=SLACK * spec.seconds),
            batches=batches,
            hashed_batches=spec.hashed_batches if self._is_first(planned) else 0,
            reference=self.reference if self._is_first(planned) else (),
            compare_s=spec.seconds,
            stall_s=spec.stall_s,
            memory_limit_bytes=int(RESERVE * limits().memory_free_bytes),
        )

    def _is_first(self, planned: Planned) -> bool:
        """Whether a configuration's batches are looked at here: once is enough, where they are trained on."""
        return planned.block in (0, self.spec.repeats) and planned.arm == Arm.END_TO_END

    def _page_cache(self) -> str:
        """What a measurement finds: it warms the cache itself."""
        return page_cache(self.files).state if self.files else "unknown"

    def _record(
        self, planned: Planned, measured: Measurement, need: Need, noise: float, cache: str, began_ms: int
    ) -> None:
        row = {
            "id": planned.id,
            "phase": planned.phase,
            "block": planned.block,
            **measured.as_row(),
            "noise_spread": noise,
            "need_memory_bytes": need.memory_bytes,
            "need_shm_bytes": need.shm_bytes,
            "page_cache": cache,
            "wait_quantiles_ms": _quantiles(measured.waits_ms),
            "hashes": list(measured.hashes),
        }
        self.tracker.record_measurement(self.parent, row, began_ms=began_ms)
        self.rows = pd.concat([self.rows, pd.DataFrame([row])], ignore_index=True)

    def _search_is_due(self) -> bool:
        return self.spec.largest_batch and noted(self.tracker, LARGEST) is None

    def _search_largest(self, look: Probe) -> None:
        """Try larger and larger batches; each try is a row of its own phase."""
        noise = measure_noise(NOISE_S).spread
        tries = 0

        def attempt(size: int) -> Measurement:
            nonlocal tries
            interruption.check()
            self._say(f"the largest batch that fits: trying {size}")
            began_ms = now_ms()
            cache = self._page_cache()
            measured = try_batch(
                self.workload,
                size,
                memory_limit_bytes=int(RESERVE * limits().memory_free_bytes),
                stall_s=self.spec.stall_s + SLACK * size * (look.sample_s + look.step_sample_s),
            )
            planned = Planned(LARGEST, tries, Arm.COMPUTE, measured.configuration)
            tries += 1
            if planned.id not in set(self.rows["id"]):
                with interruption.defer_interrupts():
                    self._record(planned, measured, Need(0, 0), noise, cache, began_ms)
            return measured

        found: Search = largest_that_fits(attempt, limit=self.spec.largest_batch_limit)
        self.tracker.note(LARGEST, {"largest": found.largest, "limited": found.limited, "ended": found.ended})

    def _say(self, text: str) -> None:
        self.say(len(self.rows), text)


def _named(planned: Planned) -> str:
    settings = planned.configuration
    told = [f"num_workers {settings.num_workers}", f"batch_size {settings.batch_size}"]
    told += ["pinned"] if settings.pin_memory else []
    default = LoaderConfiguration()
    told += [
        f"{name} {getattr(settings, name)}"
        for name in ("prefetch_factor", "persistent_workers", "start_method", "cv2_threads")
        if getattr(settings, name) != getattr(default, name)
    ]
    return f"{planned.arm.replace('_', ' ')}, {', '.join(told)}"


def _quantiles(waits_ms: Sequence[float]) -> list[float]:
    """In steps of one per cent; none where nothing was waited for."""
    if not waits_ms:
        return []
    return [round(float(each), 3) for each in np.quantile(waits_ms, np.linspace(0, 1, QUANTILES))]


def _spread(files: list[Path], number: int) -> list[Path]:
    step = max(1, len(files) // number)
    return files[::step]
