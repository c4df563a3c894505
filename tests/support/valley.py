"""A workload without data that takes milliseconds: gradient descent in a quadratic valley, with a real optimizer.

Half the sum of ``h_i (x_i - t_i)^2``, its curvatures ``h`` spread evenly on a log scale. Everything about it is known:
plain gradient descent is fastest at a learning rate of `best_rate`, and diverges above `last_rate`. Weights and noise
come from the seed alone, so that a run is the same on every machine, except for its times.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from pydantic import Field

from bench.workloads.protocol import (
    Assignment,
    Costs,
    FoundData,
    MakeOptimizer,
    OnCosts,
    OnMetrics,
    ProbeData,
    Samples,
    Score,
    Split,
    Trained,
)
from posemodel.config import Device, LoaderSettings, Schedule, Settings

VALLEY = "tests.support.valley:Valley"
"""Its name in a study file."""
DIMENSIONS = 8
FLATTEST, STEEPEST = 0.2, 2.0
"""The least and the greatest curvature."""
WARM_UP = 0.05
"""Share of the budget over which the learning rate rises."""
LOST = 1e6
"""Times the loss at the beginning, from where a run counts as diverged."""
WINDOW = 10
STATE_FILE = "state.pt"


def best_rate() -> float:
    """The learning rate at which plain gradient descent is fastest (Polyak, 1987): 2 / (least + greatest curvature)."""
    return 2 / (FLATTEST + STEEPEST)


def last_rate() -> float:
    """The learning rate above which plain gradient descent diverges: 2 / greatest curvature."""
    return 2 / STEEPEST


class ValleySettings(Settings):
    """What a study says of its valley."""

    noise: float = Field(default=0.05, ge=0)
    """Standard deviation of what each step's gradient is off by."""
    sleep_ms: float = Field(default=0.0, ge=0)
    """Milliseconds that each step sleeps."""
    fails_at: int = Field(default=0, ge=0)
    """The step at which a run raises an error; 0: never."""
    out_of_memory_at: int = Field(default=0, ge=0)
    """The step at which a run is out of memory; 0: never."""
    digits: int = Field(default=12, ge=0)
    """Decimals of a score: few make scores as coarse as AP on a few images."""
    only: str = ""
    """Whose optimizer's runs fail, by the name of its class; empty: everybody's."""


class ValleyRun(ValleySettings):
    """One run."""

    data: Path
    val_split: Split
    network: str = "valley"
    size: int | None = DIMENSIONS
    steps: int | None
    seconds: float | None
    evaluations: int
    window: int
    schedule: Schedule
    loader: LoaderSettings
    seed: int
    device: Device
    time_limit: float | None


class Valley:
    """The workload."""

    name = VALLEY
    settings = ValleySettings
    run = ValleyRun
    score = Score("ap", "maximize", low=0.0, high=1.0, chance=0.0, failure=0.0)
    final_metrics: ClassVar[frozenset[str]] = frozenset({"ap", "ap_best", "ap_best_step"})
    budget_unit = "step"
    sample_name = "images"

    def check(self, own: ValleySettings, settings: Mapping[str, Any]) -> None:
        """Every valley can be descended."""

    def find_data(self, settings: Mapping[str, Any], make_data: Any, on_open: Any) -> FoundData:
        """A valley has no data; a study's records still name a folder."""
        return FoundData(Path(settings["data"].value or ".").resolve(), "valley")

    def plan(self, own: ValleySettings, assignment: Assignment) -> ValleyRun:
        """One run."""
        budget = assignment.budget
        return ValleyRun(
            **own.model_dump(),
            data=assignment.data,
            val_split=assignment.split,
            steps=budget.steps,
            seconds=budget.seconds,
            evaluations=budget.evaluations,
            window=budget.window or WINDOW,
            schedule=assignment.schedule,
            loader=assignment.loader,
            seed=assignment.seed,
            device=assignment.device,
            time_limit=assignment.time_limit,
        )

    def train(
        self,
        run: ValleyRun,
        make_optimizer: MakeOptimizer,
        *,
        on_metrics: OnMetrics | None = None,
        should_prune: Callable[[float], bool] | None = None,
        should_stop: Callable[[], bool] | None = None,
        should_save: Callable[[], bool] | None = None,
        on_saved: Callable[[], object] | None = None,
        folder: Path | None = None,
    ) -> Trained:
        """Descend."""
        descent = _Descent(run, make_optimizer, folder)
        descent.should_save, descent.on_saved = should_save, on_saved
        status = descent.go(on_metrics or (lambda _step, _metrics: None), should_prune, should_stop)
        return Trained(
            status,
            descent.step,
            descent.metrics | descent.totals(),
            score_on=lambda _split: scored_again(descent),
            samples=lambda: Samples({"images": [], "annotations": [], "predictions": []}, _sheet()),
        )

    def loading(self, run: ValleyRun) -> None:
        """There is nothing to load."""

    def probe_data(
        self, own: ValleySettings, data: Path, awaited_images: int | None, batch_size: int
    ) -> AbstractContextManager[ProbeData]:
        """Nothing is needed."""
        return _no_data(data)

    def costs(
        self,
        runs: Mapping[str, ValleyRun],
        factories: Mapping[str, MakeOptimizer],
        *,
        seconds: float,
        on_costs: OnCosts,
    ) -> Costs:
        """Of ten steps of each; after each optimizer what is known so far."""
        step_s: dict[str, float] = {}
        sizes = {"memory_bytes": 10**8, "gpu_memory_bytes": 0}
        for name, run in runs.items():
            began = time.perf_counter()
            _Descent(run.model_copy(update={"steps": WINDOW, "seconds": None}), factories[name], None).go(
                lambda _step, _metrics: None, None, None
            )
            step_s[name] = (time.perf_counter() - began) / WINDOW
            on_costs(Costs(0.0, dict(step_s), {}, 0.0, **sizes))
        return Costs(0.0, step_s, {"select": 0.0, "report": 0.0}, 0.0, **sizes)


class _Descent:
    """One run on its way."""

    def __init__(self, run: ValleyRun, make_optimizer: MakeOptimizer, folder: Path | None) -> None:
        self.run, self.folder = run, folder
        self.curvature = torch.logspace(math.log10(FLATTEST), math.log10(STEEPEST), DIMENSIONS, dtype=torch.float64)
        start = torch.Generator().manual_seed(run.seed)
        self.target = torch.randn(DIMENSIONS, generator=start, dtype=torch.float64)
        self.x = torch.nn.Parameter(torch.zeros(DIMENSIONS, dtype=torch.float64))
        self.optimizer = make_optimizer([self.x])
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._factor)
        self.first_loss = self.loss().item()
        self.step, self.train_s, self.metrics = 0, 0.0, {}
        self.best = (-1.0, 0)
        self.should_save = self.on_saved = None
        if folder is not None and (folder / STATE_FILE).is_file():
            state = torch.load(folder / STATE_FILE, weights_only=True)
            self.x.data = state["x"]
            self.optimizer.load_state_dict(state["optimizer"])
            self.scheduler.load_state_dict(state["scheduler"])
            self.step, self.train_s, self.metrics = state["step"], state["train_s"], state["metrics"]
            self.best = tuple(state["best"])

    def loss(self) -> torch.Tensor:
        return 0.5 * (self.curvature * (self.x - self.target) ** 2).sum()

    def score(self) -> float:
        """The share of the way down that is done."""
        return round(min(1.0, max(0.0, 1 - self.loss().item() / self.first_loss)), self.run.digits)

    def share(self, step: int) -> float:
        """The share of the budget that is spent."""
        return step / self.run.steps if self.run.steps is not None else min(1.0, self.train_s / self.run.seconds)

    def _factor(self, step: int) -> float:
        share = self.share(step) if step else 0.0
        rise = min(1.0, (share + 1e-9) / WARM_UP) if self.run.steps is None else min(
            1.0, (step + 1) / max(1, math.ceil(WARM_UP * self.run.steps))
        )  # fmt: skip
        if self.run.schedule == "cosine":
            return rise * 0.5 * (1 + math.cos(math.pi * share))
        return rise * (0.1 ** ((share >= 0.5) + (share >= 0.75)) if self.run.schedule == "step" else 1.0)

    def totals(self) -> dict[str, float]:
        values = [v for state in self.optimizer.state.values() for v in state.values() if isinstance(v, torch.Tensor)]
        found = {
            "train_seconds": self.train_s,
            "eval_seconds": 0.0,
            "images_per_s": self.step * self.run.loader.batch_size / max(self.train_s, 1e-9),
            "data_wait_share": 0.0,
            "optimizer_step_ms": 1000 * self.train_s / max(self.step, 1),
            "optimizer_state_bytes": float(sum(v.numel() * v.element_size() for v in values)),
        }
        return found | ({} if self.best[0] < 0 else {"ap_best": self.best[0], "ap_best_step": float(self.best[1])})

    def go(
        self,
        on_metrics: OnMetrics,
        should_prune: Callable[[float], bool] | None,
        should_stop: Callable[[], bool] | None,
    ) -> str:
        began = time.monotonic()
        evaluated = math.floor(self.share(self.step) * self.run.evaluations)
        while self.share(self.step) < 1:
            mark = time.perf_counter()
            self._take_step()
            self.train_s += time.perf_counter() - mark
            loss = self.loss().item()
            due = math.floor(self.share(self.step) * self.run.evaluations + 1e-9)
            over = self.share(self.step) >= 1
            if self.step == 1 or self.step % self.run.window == 0 or due > evaluated:
                self._say(on_metrics, {"loss": loss, "lr": self.scheduler.get_last_lr()[0], **self._speed()})
            if not loss < LOST * self.first_loss:
                return "diverged"
            if self.run.time_limit is not None and time.monotonic() - began > self.run.time_limit:
                return "timed_out"
            if due > evaluated:
                evaluated = due
                score = self.score()
                self.best = max(self.best, (score, self.step), key=lambda each: each[0])
                self._say(on_metrics, {"val_loss": loss, "ap": score})
                if should_prune is not None and not over and should_prune(score):
                    return "pruned"
            if self.folder is not None and self.should_save is not None and not over and self.should_save():
                self._save()
                self.on_saved()
            if should_stop is not None and should_stop() and not over:
                self._save()
                raise KeyboardInterrupt
        self._save()
        return "complete"

    def _take_step(self) -> None:
        if self.run.sleep_ms:
            time.sleep(self.run.sleep_ms / 1000)
        self.step += 1
        hit = self.run.only in ("", type(self.optimizer).__name__)
        if hit and self.step == self.run.fails_at:
            raise RuntimeError("the valley has ended")
        if hit and self.step == self.run.out_of_memory_at:
            raise MemoryError("the valley is too wide")
        self.optimizer.zero_grad()
        self.loss().backward()
        noise = torch.Generator().manual_seed(1_000_003 * (self.run.seed + 1) + self.step)
        self.x.grad += self.run.noise * torch.randn(DIMENSIONS, generator=noise, dtype=torch.float64)
        self.optimizer.step()
        self.scheduler.step()

    def _speed(self) -> dict[str, float]:
        return {"images_per_s": self.totals()["images_per_s"], "data_wait_share": 0.0}

    def _say(self, on_metrics: OnMetrics, new: dict[str, float]) -> None:
        self.metrics |= new
        on_metrics(self.step, {**new, "train_seconds": self.train_s})

    def _save(self) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        state = {
            "x": self.x.data,
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "step": self.step,
            "train_s": self.train_s,
            "metrics": self.metrics,
            "best": self.best,
        }
        torch.save(state, self.folder / STATE_FILE)


def scored_again(descent: _Descent) -> float:
    """The score of what has been trained."""
    return descent.score()


@contextmanager
def _no_data(data: Path) -> Iterator[ProbeData]:
    yield ProbeData(data, {"select": 1, "report": 1})


def _sheet() -> bytes:
    """A small picture."""
    return cv2.imencode(".jpg", np.full((32, 32, 3), 128, np.uint8))[1].tobytes()
