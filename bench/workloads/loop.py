"""A training loop for somebody's own workload (`train_steps`): everything that `Workload.train` asks of it."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR

from bench.measure.own_time import OwnTime, backward
from bench.workloads.base import WorkloadRun
from bench.workloads.protocol import MakeOptimizer, OnMetrics, Samples, Split, Trained
from bench.workloads.score import Score
from bench.workloads.statistics_of_norms import own_statistics, recompute_statistics
from posemodel.atomic_write import atomic_path
from posemodel.device import synchronize
from posemodel.errors import SettingsError
from posemodel.training.driving import Driver, Training, make_driven
from posemodel.training.optimizer_state import optimizer_state_bytes, plain_state, restore_state
from posemodel.training.parameter_groups import has_rates
from posemodel.training.random_state import random_state, restore_random_state
from posemodel.training.schedule import FIRST_RATE, ROUNDING, decay

WARM_UP = 0.05
"""Share of the budget over which the learning rate rises, as in the training of pose networks."""
STATISTICS_FROM = 64
"""Samples from which the statistics of batch norm are computed for the weights that are judged, if gradients are those
at other weights."""
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
    should_save: Callable[[], bool] | None = None,
    on_saved: Callable[[], object] | None = None,
    folder: Path | None = None,
) -> Trained:
    """Train a network for the run's budget, with its schedule, evaluations, limits and pruning.

    A budget in steps counts gradient evaluations: an ordinary optimizer takes one a step, others several
    (`posemodel.training.driving`).

    Args:
        run: The resolved run.
        network: What is trained; in training mode during a step, in evaluation mode and without gradients in
            ``score_on``.
        make_optimizer: Builds the optimizer from the parameters, or is an `OptimizerMaker`.
        score: The workload's score.
        loss: Computes the loss of an optimizer's step (from 1) on its batch, a scalar tensor. The batch must follow
            from the run's seed and the step, so that a run that was stopped continues with the same data, and so that
            an optimizer that evaluates the loss several times in a step gets that of the same batch.
        score_on: Computes the score on a split.
        samples: Computes results on a few samples for people to look at; by default there are none.
        on_metrics, should_prune, should_stop, should_save, on_saved, folder: As in `Workload.train`.

    Raises KeyboardInterrupt if ``should_stop`` returned True.
    """
    loop = _Loop(run, network, make_optimizer, score, loss, score_on, on_metrics, folder, should_save, on_saved)
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
        should_save: Callable[[], bool] | None,
        on_saved: Callable[[], object] | None,
    ) -> None:
        self.run, self.network, self.score, self.loss, self.score_on = run, network, score, loss, score_on
        self.on_metrics, self.should_save, self.on_saved = on_metrics, should_save, on_saved
        self.device = next(network.parameters()).device
        self.optimizer, driving = make_driven(
            make_optimizer, Training(list(network.parameters()), network, steps=run.steps, samples=None)
        )
        self.own_time = OwnTime(self.device)
        self.driver = Driver(self.optimizer, driving, network, self.own_time)
        self.step, self.updates, self.first_step = 0, 0, 1
        """Gradient evaluations, the optimizer's steps, and gradient evaluations of its first step."""
        self.first_s, self.train_s, self.eval_s = 0.0, 0.0, 0.0
        self.metrics: dict[str, float] = {}
        self.ended = False
        if not driving.ordinary:
            torch.manual_seed(run.seed)  # some draw random numbers, for products of the Hessian
        self.scheduler = self._schedule()
        self.state = None if folder is None else folder / STATE_FILE
        if self.state is not None and self.state.is_file():
            self._load(self.state)

    def share(self) -> float:
        """Share of the budget that is used."""
        if self.run.steps is not None:
            return self.step / self.run.steps
        return self.train_s / (self.run.seconds or math.inf)

    def _schedule(self) -> LambdaLR | None:
        """Return the schedule of the learning rates; None if the optimizer has none."""
        rates = has_rates(self.optimizer)
        if all(rates):
            return LambdaLR(self.optimizer, self._rate_factor)
        if any(rates) and self.run.schedule != "fixed":
            raise SettingsError(
                f"schedule: {type(self.optimizer).__name__} has groups of parameters with and without a learning rate, "
                'which no schedule can change together. Set schedule to "fixed", or use another optimizer.'
            )
        return None

    def _rate_factor(self, _step: int) -> float:
        if self.run.schedule == "fixed":
            return 1.0
        share = self.share()
        if share >= WARM_UP:
            return decay(self.run.schedule, share, WARM_UP)
        first = FIRST_RATE if self.run.steps is None else 1 / (WARM_UP * self.run.steps + 1)
        return first + (1 - first) * share / WARM_UP

    def scored(self, split: Split) -> float:
        """Score the network on a split, with the weights that are judged."""
        with nullcontext() if self.ended else self._judged(), torch.no_grad():
            self.network.eval()
            score = float(self.score_on(split))
        self.network.train()
        return score

    @contextmanager
    def _judged(self) -> Iterator[None]:
        """Within the block the network has the weights that are judged, and statistics of batch norm for these."""
        if not self.driver.driving.stale_statistics:
            yield
            return
        with self.driver.judged(), own_statistics(self.network):
            self._recompute_statistics()
            yield

    def _recompute_statistics(self) -> None:
        """Compute the statistics of batch norm at the present weights, from the last batches."""
        number = math.ceil(STATISTICS_FROM / self.run.loader.batch_size)
        latest = range(max(self.updates - number, 0) + 1, self.updates + 1)
        recompute_statistics(self.network, [partial(self.loss, update) for update in latest])

    def go(self, should_prune: Callable[[float], bool] | None, should_stop: Callable[[], bool] | None) -> Any:
        """Train until the run ends, and leave the network with the weights that are judged; returns the status."""
        status = self._go(should_prune, should_stop)
        self.driver.end()
        if self.driver.driving.stale_statistics:
            self._recompute_statistics()
        self.ended = True
        return status

    def _go(self, should_prune: Callable[[float], bool] | None, should_stop: Callable[[], bool] | None) -> Any:
        began, done = time.monotonic(), self._evaluations_due()
        self.network.train()
        while (share := self.share()) < 1:
            before = self.step
            loss = self._take_step()
            share, due = self.share(), self._evaluations_due()
            measured = self.updates == 1 or self.step // self.run.window > before // self.run.window
            if measured or due > done or not math.isfinite(loss):
                self._report({"loss": loss, **self._rate(), **self._speed()})
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
            if self.state is not None and self.should_save is not None and share < 1 and self.should_save():
                self._save()
                if self.on_saved is not None:
                    self.on_saved()
            if should_stop is not None and should_stop() and share < 1:
                self._save()
                raise KeyboardInterrupt
        self._save()
        return "complete"

    def _evaluations_due(self) -> int:
        return math.floor(min(self.share(), 1.0) * self.run.evaluations + ROUNDING)

    def _take_step(self) -> float:
        """Take a step of the optimizer and return the loss before it."""
        began = time.perf_counter()
        losses: list[float] = []

        def evaluate() -> torch.Tensor:
            self.optimizer.zero_grad()
            loss = self.loss(self.updates + 1)
            backward(loss, graph=self.driver.driving.graph)
            losses.append(float(loss.item()))  # waits for the device
            return loss

        remaining = None if self.run.steps is None else self.run.steps - self.step
        self.step += self.driver.step(evaluate, remaining=remaining)
        synchronize(self.device)
        self.updates += 1
        self.train_s += time.perf_counter() - began
        if self.updates == 1:
            self.first_s, self.first_step = self.train_s, self.step
        if self.scheduler is not None:
            self.scheduler.step()
        return losses[0] if losses else math.nan

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

    def _rate(self) -> dict[str, float]:
        """Return the learning rate of the next step; nothing if the optimizer has none."""
        return {} if self.scheduler is None else {"lr": float(self.scheduler.get_last_lr()[0])}

    def _speed(self) -> dict[str, float]:
        """Return the speed without the first step, which warms up caches and kernels, if there are more.

        A step's batch counts once for each of its gradient evaluations.
        """
        steps, seconds = self.step, self.train_s
        if self.updates > 1:
            steps, seconds = steps - self.first_step, seconds - self.first_s
        return {"images_per_s": steps * self.run.loader.batch_size / max(seconds, 1e-9)}

    def totals(self) -> dict[str, float]:
        """Metrics of the whole run."""
        return {
            **self._speed(),
            "train_seconds": self.train_s,
            "eval_seconds": self.eval_s,
            "optimizer_step_ms": 1000 * self.own_time.seconds / max(self.updates, 1),
            "optimizer_state_bytes": float(optimizer_state_bytes(self.optimizer)),
            **({"updates": float(self.updates)} if self.updates != self.step else {}),
        }

    def _report(self, metrics: dict[str, float]) -> None:
        self.metrics |= metrics
        if self.on_metrics is not None:
            self.on_metrics(self.step, metrics | {"train_seconds": self.train_s})

    def _save(self) -> None:
        if self.state is None:
            return
        document = {
            "network": self.network.state_dict(),
            "optimizer": plain_state(self.optimizer),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "numbers": [self.step, self.first_s, self.train_s, self.eval_s, self.own_time.seconds],
            "updates": [self.updates, self.first_step],
            "metrics": self.metrics,
            "random": random_state(self.device),
        }
        with atomic_path(self.state) as temporary:
            torch.save(document, temporary)

    def _load(self, path: Path) -> None:
        document = torch.load(path, weights_only=True)
        self.network.load_state_dict(document["network"])
        restore_state(self.optimizer, document["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(document["scheduler"])
        self.step, self.first_s, self.train_s, self.eval_s, self.own_time.seconds = document["numbers"]
        self.updates, self.first_step = document.get("updates", [self.step, 1])  # earlier versions: ordinary ones
        self.metrics = document["metrics"]
        if "random" in document:
            restore_random_state(self.device, document["random"])
