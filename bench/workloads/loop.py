"""A training loop for somebody's own workload (`train_steps`): everything that `Workload.train` asks of it."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bench.workloads.base import WorkloadRun
from bench.workloads.protocol import MakeOptimizer, OnMetrics, Samples, Split, Trained
from bench.workloads.score import Score
from posemodel.device import synchronize
from posemodel.training.optimizer_state import optimizer_state_bytes
from posemodel.training.schedule import FIRST_RATE, ROUNDING, decay

WARM_UP = 0.05
"""Share of the budget over which the learning rate rises, as in the training of pose networks."""
STATE_FILE = "state.pt"


def train_steps(
    run: WorkloadRun,
    network: torch.nn.Module,
    make_optimizer: MakeOptimizer,
    score: Score,
    *,
    loss: Callable[[int], torch.Tensor],
    score_on: Callable[[Split], float],
    samples: Callable[[], Samples | None] = lambda: None,
    on_metrics: OnMetrics | None = None,
    should_prune: Callable[[float], bool] | None = None,
    should_stop: Callable[[], bool] | None = None,
    folder: Path | None = None,
) -> Trained:
    """Train a network for the run's budget, with its schedule, evaluations, limits and pruning.

    Args:
        run: The resolved run.
        network: What is trained; in training mode during a step, in evaluation mode and without gradients in
            ``score_on``.
        make_optimizer: Builds the optimizer from the parameters.
        score: The workload's score.
        loss: Computes the loss of a step (from 1) on its batch, a scalar tensor. The batch must follow from the run's
            seed and the step, so that a run that was stopped continues with the same data.
        score_on: Computes the score on a split.
        samples: Computes results on a few samples for people to look at; by default there are none.
        on_metrics, should_prune, should_stop, folder: As in `Workload.train`.

    Raises KeyboardInterrupt if ``should_stop`` returned True.
    """
    loop = _Loop(run, network, make_optimizer, score, loss, score_on, on_metrics, folder)
    status = loop.go(should_prune, should_stop)
    return Trained(status, loop.step, loop.metrics | loop.totals(), loop.scored, samples)


class _Loop:
    def __init__(
        self,
        run: WorkloadRun,
        network: torch.nn.Module,
        make_optimizer: MakeOptimizer,
        score: Score,
        loss: Callable[[int], torch.Tensor],
        score_on: Callable[[Split], float],
        on_metrics: OnMetrics | None,
        folder: Path | None,
    ) -> None:
        self.run, self.network, self.score, self.loss, self.score_on = run, network, score, loss, score_on
        self.on_metrics = on_metrics
        self.optimizer = make_optimizer(network.parameters())
        self.step, self.first_s, self.train_s, self.eval_s, self.optimizer_s = 0, 0.0, 0.0, 0.0, 0.0
        self.metrics: dict[str, float] = {}
        self.scheduler = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._rate_factor)
        self.state = None if folder is None else folder / STATE_FILE
        if self.state is not None and self.state.is_file():
            self._load(self.state)

    def share(self) -> float:
        """Share of the budget that is used."""
        if self.run.steps is not None:
            return self.step / self.run.steps
        return self.train_s / (self.run.seconds or math.inf)

    def _rate_factor(self, _step: int) -> float:
        if self.run.schedule == "fixed":
            return 1.0
        share = self.share()
        if share >= WARM_UP:
            return decay(self.run.schedule, share, WARM_UP)
        first = FIRST_RATE if self.run.steps is None else 1 / (WARM_UP * self.run.steps + 1)
        return first + (1 - first) * share / WARM_UP

    def scored(self, split: Split) -> float:
        """Score the network on a split."""
        self.network.eval()
        with torch.no_grad():
            score = float(self.score_on(split))
        self.network.train()
        return score

    def go(self, should_prune: Callable[[float], bool] | None, should_stop: Callable[[], bool] | None) -> Any:
        """Train until the run ends; returns its status."""
        began, done = time.monotonic(), self._evaluations_due()
        self.network.train()
        while (share := self.share()) < 1:
            loss = self._take_step()
            share, due = self.share(), self._evaluations_due()
            if self.step == 1 or self.step % self.run.window == 0 or due > done or not math.isfinite(loss):
                self._report({"loss": loss, "lr": float(self.scheduler.get_last_lr()[0]), **self._speed()})
            if not math.isfinite(loss):
                return "diverged"
            if self.run.time_limit is not None and time.monotonic() - began > self.run.time_limit:
                return "timed_out"
            if due > done:
                done, score = due, self._evaluate()
                if not math.isfinite(score):
                    return "diverged"
                if should_prune is not None and share < 1 and should_prune(score):
                    return "pruned"
            if should_stop is not None and should_stop() and share < 1:
                self._save()
                raise KeyboardInterrupt
        self._save()
        return "complete"

    def _evaluations_due(self) -> int:
        return math.floor(min(self.share(), 1.0) * self.run.evaluations + ROUNDING)

    def _take_step(self) -> float:
        began = time.perf_counter()
        self.optimizer.zero_grad()
        loss = self.loss(self.step + 1)
        loss.backward()
        value = float(loss.item())  # waits for the device
        mark = time.perf_counter()
        self.optimizer.step()
        synchronize(next(self.network.parameters()).device)
        self.step += 1
        now = time.perf_counter()
        self.train_s, self.optimizer_s = self.train_s + now - began, self.optimizer_s + now - mark
        if self.step == 1:
            self.first_s = self.train_s
        self.scheduler.step()
        return value

    def _evaluate(self) -> float:
        began = time.perf_counter()
        score = self.scored(self.run.val_split)
        self.eval_s += time.perf_counter() - began
        if not math.isfinite(score):
            return score
        best = self.metrics.get(f"{self.score.name}_best")
        if best is None or self.score.gain(score) > self.score.gain(best):
            self.metrics |= {f"{self.score.name}_best": score, f"{self.score.name}_best_step": float(self.step)}
        self._report({self.score.name: score})
        return score

    def _speed(self) -> dict[str, float]:
        """Return the speed without the first step, which warms up caches and kernels, if there are more."""
        steps, seconds = (self.step - 1, self.train_s - self.first_s) if self.step > 1 else (self.step, self.train_s)
        return {"images_per_s": steps * self.run.loader.batch_size / max(seconds, 1e-9)}

    def totals(self) -> dict[str, float]:
        """Metrics of the whole run."""
        return {
            **self._speed(),
            "train_seconds": self.train_s,
            "eval_seconds": self.eval_s,
            "optimizer_step_ms": 1000 * self.optimizer_s / max(self.step, 1),
            "optimizer_state_bytes": float(optimizer_state_bytes(self.optimizer)),
        }

    def _report(self, metrics: dict[str, float]) -> None:
        self.metrics |= metrics
        if self.on_metrics is not None:
            self.on_metrics(self.step, metrics | {"train_seconds": self.train_s})

    def _save(self) -> None:
        if self.state is None:
            return
        self.state.parent.mkdir(parents=True, exist_ok=True)
        document = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "numbers": [self.step, self.first_s, self.train_s, self.eval_s, self.optimizer_s],
            "metrics": self.metrics,
        }
        torch.save(document, self.state)

    def _load(self, path: Path) -> None:
        document = torch.load(path, weights_only=True)
        self.network.load_state_dict(document["network"])
        self.optimizer.load_state_dict(document["optimizer"])
        self.scheduler.load_state_dict(document["scheduler"])
        self.step, self.first_s, self.train_s, self.eval_s, self.optimizer_s = document["numbers"]
        self.metrics = document["metrics"]
