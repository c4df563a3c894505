"""Results of loader studies whose answer is known: of the simulated cases, and of what else can become of a study."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.loaders.analysis.delivery import unrepeatable
from bench.kinds.loaders.analysis.verdict import loaders_verdict
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.configuration import configuration
from bench.measure.loader.prediction import predict
from bench.measure.loader.probe import Probe
from tests.support.loader_cases import BATCH_SIZE, CASES, simulated_rows

LOOK = Probe(sample_bytes=4_000_000, process_bytes=10**9, worker_bytes=10**8, sample_s=0.01, step_sample_s=0.002)
SIZES = (1, 2, 4, 8, 16)
"""Of a search for the largest batch."""
VARIANTS = ({"prefetch_factor": 4}, {"persistent_workers": True}, {"start_method": "spawn"}, {"cv2_threads": 0})


def loader_result(name: str) -> LoaderResult:
    """The result of a simulated case; `different`: of a data set whose samples cannot be made again, unfinished."""
    case = CASES["noisy" if name == "different" else name]
    pinned = (False, True) if name == "loader-bound" else (False,)
    rows = as_measured(simulated_rows(case, pin_memory=pinned))
    first = rows[rows["arm"] == "compute"].iloc[0]
    tried = pd.DataFrame(
        [{**first, "phase": "largest", "batch_size": size, "images_per_s": 40 * size / (size + 6)} for size in SIZES]
    )
    return result_of(
        pd.concat([rows, tried], ignore_index=True),
        name=name,
        noise=case.noise,
        different=(unrepeatable("own:Drawn", 3),) if name == "different" else (),
        left=3 if name == "different" else 0,
        largest={"largest": 16, "limited": True, "ended": ""},
    )


def as_measured(rows: pd.DataFrame, phase: str = "grid") -> pd.DataFrame:
    """Simulated rows with what only a real study knows."""
    quantiles = [
        list(np.geomspace(1 + n % 7, 90 + n, 20)) if arm == "end_to_end" else [] for n, arm in enumerate(rows["arm"])
    ]
    return rows.assign(
        phase=phase,
        hashes=[["aa", "bb"]] * len(rows),
        run_id=[f"{n:032x}" for n in range(len(rows))],
        wait_quantiles_ms=quantiles,
        memory_kind="pss",
        page_cache="warm",
        peak_shm_bytes=2e7,
    )


def result_of(
    rows: pd.DataFrame,
    *,
    name: str = "study",
    noise: float = 0.02,
    different: Sequence[str] = (),
    left: int = 0,
    largest: dict[str, Any] | None = None,
    **settings: Any,
) -> LoaderResult:
    """The result of measurements; ``settings``: of the study, over a small one of the COCO folder on a CPU."""
    grid = rows[rows["phase"] == "grid"] if len(rows) else pd.DataFrame({axis: [] for axis in ("pin_memory",)})
    given = {
        "name": name.replace(" ", "-"),
        "preset": "quick",
        "data": Path("/no/such/people"),
        "data_digest": "feed",
        "device": "cpu",
        "size": 64,
        "num_workers": _values(grid, "num_workers") or (0,),
        "batch_size": _values(grid, "batch_size") or (BATCH_SIZE,),
        "pin_memory": _values(grid, "pin_memory") or (False,),
        "largest_batch": largest is not None,
    }
    spec = LoaderSpec(**given | settings)
    measured = rows[rows["phase"] != "largest"] if len(rows) else rows
    combinations = [
        configuration(batch_size=size, num_workers=workers, pin_memory=pin)
        for size in spec.batch_size
        for workers in spec.num_workers
        for pin in spec.pin_memory
    ]
    return LoaderResult(
        spec=spec,
        rows=rows,
        verdict=loaders_verdict(
            measured, noise=noise, noisy=noise > 0.1, has_step=spec.has_step, different=different, left=left
        ),
        reached=(9, 10),
        combinations=len(combinations),
        different=different,
        left=left,
        noise=noise,
        largest=largest,
        transfers=None,
        needs=[
            each.model_dump(mode="json") | vars(predict(LOOK, each)) for each in combinations if not each.pin_memory
        ],
        limits={"cores": 2, "memory_bytes": 8e9, "memory_free_bytes": 6e9, "shm_bytes": 1e9, "pinning": False},
        machine={"cpu": "a processor"},
        finished=not left,
        command="posebench study loaders --name again",
    )


def _values(rows: pd.DataFrame, name: str) -> tuple[Any, ...]:
    """The values of an axis, in order."""
    return tuple(value.item() for value in rows[name].dropna().unique()) if name in rows else ()


def large_grid(*, accelerated: bool = False) -> pd.DataFrame:
    """A grid of seven numbers of workers and four batch sizes, each pinned and not, in which speeds follow a rule."""
    base = simulated_rows(CASES["compute-bound"])
    rng = np.random.default_rng(3)
    rows = []
    for size in (4, 8, 16, 128):
        for workers in (0, 1, 2, 4, 8, 12, 16):
            for pinned in (False, True):
                own = base[(base["num_workers"] == 0) | (base["arm"] == "compute")]
                speed = 900 * size / (size + 6) * min(1.0, 0.3 + 0.2 * workers) * (1.1 if pinned else 1.0)
                own = own.assign(batch_size=size, num_workers=workers, pin_memory=pinned)
                own["images_per_s"] = speed * (1 + 0.01 * rng.standard_normal(len(own)))
                rows.append(own)
    found = as_measured(pd.concat(rows, ignore_index=True))
    return found.assign(device="cuda", effective_pin_memory=found["pin_memory"]) if accelerated else found


def with_variants(factors: Sequence[float]) -> pd.DataFrame:
    """The compute-bound case, and around its best combination (1 worker) VARIANTS, each so many times as fast."""
    rows = as_measured(simulated_rows(CASES["compute-bound"]))
    best = rows[(rows["num_workers"] == 1) & (rows["arm"] == "end_to_end")]
    default = rows[(rows["num_workers"] == 0) & (rows["arm"] == "end_to_end")]
    rng = np.random.default_rng(1)
    later = [best, default]
    for settings, factor in zip(VARIANTS, factors, strict=True):
        speed = factor * best["images_per_s"] * (1 + 0.01 * rng.standard_normal(len(best)))
        later.append(best.assign(images_per_s=speed, **settings))
    around = pd.concat(later, ignore_index=True).assign(phase="around")
    around["block"] += 1 + rows["block"].max()
    return pd.concat([rows, around], ignore_index=True)
