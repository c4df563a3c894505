"""The workload of `tests.support.valley` with a score like AP, which stays 0 until the loss has fallen far enough.

It reports the validation loss of an untrained run (`reference_loss`). The score is the share of the loss reduction
beyond the share ``blind``, so that short runs score 0 with every optimizer.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from bench.workloads.protocol import Assignment, MakeOptimizer, OnMetrics, Split, Trained
from tests.support.valley import Valley, ValleyRun, ValleySettings, _Descent

BLIND_VALLEY = "tests.support.blind_valley:BlindValley"
"""Its name in a study file."""


class BlindSettings(ValleySettings):
    """What a study says of it."""

    blind: float = Field(default=0.99, ge=0, lt=1)
    """Share of the way down at which the score leaves 0."""


class BlindRun(ValleyRun):
    """One run."""

    blind: float


class BlindValley(Valley):
    """The workload."""

    name = BLIND_VALLEY
    settings = BlindSettings
    run = BlindRun
    final_metrics: ClassVar[frozenset[str]] = Valley.final_metrics | {"reference_loss"}

    def plan(self, own: BlindSettings, assignment: Assignment) -> BlindRun:
        """One run."""
        plain = ValleySettings(**own.model_dump(exclude={"blind"}))
        return BlindRun(**super().plan(plain, assignment).model_dump(), blind=own.blind)

    def train(
        self,
        run: BlindRun,
        make_optimizer: MakeOptimizer,
        *,
        on_metrics: OnMetrics | None = None,
        should_prune: Callable[[float], bool] | None = None,
        should_stop: Callable[[], bool] | None = None,
        folder: Path | None = None,
    ) -> Trained:
        """Descend."""
        reference = {"reference_loss": _Descent(run, make_optimizer, None).first_loss}

        def seen(score: float) -> float:
            return max(0.0, (score - run.blind) / (1 - run.blind))

        def blinded(metrics: Mapping[str, float]) -> dict[str, float]:
            return {name: seen(value) if name in ("ap", "ap_best") else value for name, value in metrics.items()}

        def say(step: int, metrics: dict[str, float]) -> None:
            if on_metrics is not None:
                over = reference if "ap" in metrics and step == run.steps else {}
                on_metrics(step, blinded(metrics) | over)

        trained = super().train(
            run,
            make_optimizer,
            on_metrics=say,
            should_prune=None if should_prune is None else lambda score: should_prune(seen(score)),
            should_stop=should_stop,
            folder=folder,
        )
        said = blinded(trained.metrics) | (reference if trained.status == "complete" else {})

        def score_on(split: Split) -> float:
            return seen(trained.score_on(split))

        def losses_on(_split: Split) -> dict[str, float]:
            return {"val_loss": trained.metrics["val_loss"], **reference}

        return replace(trained, metrics=said, score_on=score_on, losses_on=losses_on)
