"""Make results of loader studies with a known answer: simulated cases, and studies with failures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.kinds.loaders.analysis.delivery import unrepeatable_sentence
from bench.kinds.loaders.analysis.findings import Comparison
from bench.kinds.loaders.analysis.ratios import looks, pairs_of
from bench.kinds.loaders.analysis.verdict import loaders_verdict
from bench.kinds.loaders.plan import ended_by, spent_s
from bench.kinds.loaders.report.result import LoaderResult
from bench.kinds.loaders.spec import LoaderSpec
from bench.measure.loader.configuration import configuration
from bench.measure.loader.prediction import predict
from bench.measure.loader.probe import Probe
from bench.trials.loader_settings import SETTINGS
from tests.support.loader_cases import BATCH_SIZE, CASES, Case, simulated_study
from tests.support.loader_cases import BLOCKS as BLOCKS_MADE

Frames = tuple[pd.DataFrame, pd.DataFrame]
"""Lives and slices."""
LOOK = Probe(sample_bytes=4_000_000, process_bytes=10**9, worker_bytes=10**8, sample_s=0.01, step_sample_s=0.002)
SIZES = (1, 2, 4, 8, 16)
"""Of a search for the largest batch."""
VARIANTS = ({"prefetch_factor": 4}, {"persistent_workers": True}, {"start_method": "spawn"}, {"cv2_threads": 0})
AMONG = ("phase", "panel", "block", "own_loader", *SETTINGS)
"""Columns by which rows of the two frames belong together."""


def loader_result(name: str, *, blocks: int = BLOCKS_MADE) -> LoaderResult:
    """The result of a case; `different`: of a data set whose samples cannot be made again, unfinished."""
    case = CASES["noisy" if name == "different" else name]
    pinned = (False, True) if name == "loader-bound" else (False,)
    return result_of(
        *with_search(simulated_study(case, blocks=blocks, pin_memory=pinned)),
        name=name,
        different=(unrepeatable_sentence("own:Drawn", 3),) if name == "different" else (),
        finished=name != "different",
        largest={"largest": 16, "limited": True, "ended": ""},
    )


def with_search(frames: Frames) -> Frames:
    """The frames, and the tries of a search for the largest batch."""
    lives, slices = frames
    life, step = lives.iloc[0], slices[slices["arm"] == "compute"].iloc[0].to_dict()
    tried = pd.DataFrame([{**life, "phase": "largest", "panel": 9, "batch_size": size} for size in SIZES])
    steps = [step | {"phase": "largest", "panel": 9, "batch_size": size} | _step_of(step, size) for size in SIZES]
    return _joined([lives, tried]), _joined([slices, pd.DataFrame(steps)])


def _step_of(step: dict[str, Any], size: int) -> dict[str, Any]:
    """What as many batches of another size would take: a larger one is faster by a rule."""
    times = {"images": size / BATCH_SIZE, "seconds": (size + 6) / (BATCH_SIZE + 6)}
    return {name: step[name] * factor for name, factor in times.items()}


SPENT_S = 400.0
AMONG_BLOCKS = ("phase", "panel", "block")


def result_of(
    lives: pd.DataFrame,
    slices: pd.DataFrame,
    *,
    name: str = "study",
    different: Sequence[str] = (),
    finished: bool = True,
    ended: str = "",
    largest: dict[str, Any] | None = None,
    panels: int | None = None,
    **settings: Any,
) -> LoaderResult:
    """The result of frames; ``settings``: of the study, over a small one of the COCO folder on a CPU."""
    if len(lives):
        lives = lives.assign(
            block_s=SPENT_S / len(lives[lives["phase"] != "largest"][[*AMONG_BLOCKS]].drop_duplicates())
        )
    grid = lives[lives["phase"] == "grid"] if len(lives) else lives
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
        "blocks": max(4, 1 + int(grid["block"].max())) if len(grid) else 28,
        "largest_batch": largest is not None,
    }
    spec = LoaderSpec(**given | settings)
    measured, timed = (each[each["phase"] != "largest"] if len(each) else each for each in (lives, slices))
    sizes = measured.drop_duplicates([*AMONG[:2], *AMONG[3:]]).groupby(["phase", "panel"]).size() if len(lives) else []
    plan = Comparison(looks(spec.blocks, spec.min_blocks), pairs_of(sizes), spec.margin, spec.interval, cores=2.0)
    combinations = [
        configuration(batch_size=size, num_workers=workers, pin_memory=pin)
        for size in spec.batch_size
        for workers in spec.num_workers
        for pin in spec.pin_memory
    ]
    verdict = loaders_verdict(
        measured, timed, plan=plan, has_step=spec.has_step, different=different, remaining=int(not finished)
    )
    return LoaderResult(
        spec=spec,
        processes=lives,
        slices=slices,
        verdict=verdict,
        panels=len(spec.batch_size) if panels is None else panels,
        different=different,
        stream=None,
        spent_s=spent_s(measured, timed),
        ended=ended or (ended_by(spec, measured, timed, pinning=False, cores=2.0) if finished else ""),
        largest=largest,
        transfers=None,
        needs=[
            each.model_dump(mode="json") | vars(predict(LOOK, each)) for each in combinations if not each.pin_memory
        ],
        limits={"cores": 2, "memory_bytes": 8e9, "memory_free_bytes": 6e9, "shm_bytes": 1e9, "pinning": False},
        machine={"cpu": "a processor"},
        finished=finished,
        command="posebench study loaders --data /no/such/people --name again",
    )


def _values(rows: pd.DataFrame, name: str) -> tuple[Any, ...]:
    """The values of an axis, in order."""
    return tuple(value.item() for value in rows[name].dropna().unique()) if name in rows else ()


def _joined(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    found = pd.concat(frames, ignore_index=True)
    if "id" in found:
        found["id"] = [f"{n:016x}" for n in range(len(found))]
        found["run_id"] = [f"{n:032x}" for n in range(len(found))]
    return found


def several_sizes(
    case: Case, sizes: Sequence[int], *, blocks: int = BLOCKS_MADE, pin_memory: Sequence[bool] = (False,)
) -> Frames:
    """The case once for each batch size, a panel each; larger batches are faster by a rule."""
    lives, slices = [], []
    for panel, size in enumerate(sizes):
        begun, timed = simulated_study(case, panel, blocks=blocks, pin_memory=pin_memory)
        timed["images"] = timed["images"] / BATCH_SIZE * 10 * size / (size + 6)
        lives.append(begun.assign(panel=panel, batch_size=size))
        slices.append(timed.assign(panel=panel, batch_size=size))
    return _joined(lives), _joined(slices)


def result_of_sizes() -> LoaderResult:
    """The result of a case with three batch sizes, which so few blocks do not settle."""
    return result_of(*several_sizes(CASES["flips"], (4, 8, 16), blocks=6))


def large_grid(*, blocks: int = BLOCKS_MADE) -> Frames:
    """Seven numbers of workers and four batch sizes, each pinned and not, on an accelerator."""
    case = replace(CASES["flips"], workers=(0, 1, 2, 4, 8, 12, 16))
    lives, slices = several_sizes(case, (4, 8, 16, 128), blocks=blocks, pin_memory=(False, True))
    return lives.assign(device="cuda", effective_pin_memory=lives["pin_memory"]), slices


def with_variants(factors: Sequence[float], *, case: str = "compute-bound", workers: int = 1) -> Frames:
    """A case, and around its combination of so many ``workers`` VARIANTS, each so many times as fast."""
    lives, slices = simulated_study(CASES[case])
    rng = np.random.default_rng(1)
    around = {"phase": "around", "panel": 1}
    begun, timed = ([each[each["num_workers"] == workers].assign(**around)] for each in (lives, slices))
    for settings, factor in zip(VARIANTS, factors, strict=True):
        begun.append(begun[0].assign(**settings))
        chance = {block: 1 + 0.005 * rng.standard_normal() for block in timed[0]["block"].unique()}
        seconds = timed[0]["seconds"] / factor * timed[0]["block"].map(chance)
        timed.append(timed[0].assign(seconds=seconds, **settings))
    return _joined([lives, *begun]), _joined([slices, *timed])
