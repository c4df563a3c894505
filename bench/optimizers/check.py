"""Check an optimizer before an evening is spent: steps on a small network, saved, restored and continued."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from bench.optimizers import optimizer_entry
from bench.optimizers.recognition import Probe
from bench.optimizers.unfit import check_trains
from posemodel.errors import SettingsError
from posemodel.training.driving import Driver
from posemodel.training.optimizer_maker import Driving, OptimizerMaker
from posemodel.training.optimizer_state import optimizer_state_bytes, plain_state, restore_state
from posemodel.training.random_state import random_state, restore_random_state

STEPS_BEFORE, STEPS_AFTER = 7, 12
"""Steps before and after the state is saved and restored. What an optimizer does every 5 or 10 steps, as Lookahead
does, comes after the state is restored, and would come at another step if the state lacked its count."""
RATE_WITHOUT_DEFAULT = 1e-2
"""Learning rate of the check, where the class has no default."""

ORDINARY_STEP = "step()"
"""How the step of an ordinary optimizer is taken, in words."""


@dataclass(frozen=True)
class Check:
    """The result of a check."""

    name: str
    passes: bool
    reason: str
    """Why it does not pass, in one sentence; empty if it does."""
    driving: str
    """How a step is taken, in words; empty if it cannot be taken."""
    gradients_per_step: float | None
    """Gradient evaluations of a step, in the mean over the check's steps; None if it does not pass."""
    schedule: str | None
    """The schedule that the method fixes itself; None: the study's."""
    resumes: bool | None
    """Whether it takes the same steps, to the bit, after its state was saved and restored; None if it does not pass."""
    state_bytes_per_weight: float | None
    """Bytes of its state for each weight; None if it does not pass."""


def check_optimizer(name: str, hyperparameters: Mapping[str, Any] | None = None) -> Check:
    """Check an optimizer by name; ``hyperparameters`` are those that have no default, or others.

    An unknown name and a class that cannot be read are reasons, too.
    """
    values = dict(hyperparameters or {})
    try:
        entry = optimizer_entry(name)
        if "lr" in entry.hyperparameters and "lr" not in values and not isinstance(entry.hyperparameters["lr"], float):
            needed = entry.parameters["lr"].default is entry.parameters["lr"].empty
            values |= {"lr": RATE_WITHOUT_DEFAULT} if needed else {}
        result = check_trains(entry, values)
    except SettingsError as error:
        return Check(name, False, str(error), "", None, None, None, None)
    probe = Probe()
    optimizer, _ = _steps(result.maker, probe, STEPS_BEFORE)
    weights = sum(weight.numel() for weight in probe.network.parameters())
    return Check(
        name,
        True,
        "",
        words(result.maker.driving),
        result.evaluations,
        entry.schedule,
        _resumes(result.maker),
        optimizer_state_bytes(optimizer) / weights,
    )


def words(driving: Driving) -> str:
    """Say how a step is taken."""
    step = {
        "unused": ORDINARY_STEP,
        "after_gradients": "gradients, then step(closure)",
        "only": "step(closure) at other weights" if driving.away else "step(closure)",
    }[driving.closure]
    more = [*(["train() and eval()"] if driving.modes else []), *(["create_graph"] if driving.graph else [])]
    return ", ".join([step, *more])


def driving_text(driving: Driving) -> str | None:
    """Say how a step is taken, and that there are two modes; None for an ordinary optimizer."""
    return words(driving) if driving.modes or not driving.ordinary else None


def _steps(maker: OptimizerMaker, probe: Probe, count: int) -> tuple[torch.optim.Optimizer, Driver]:
    optimizer = maker.make(probe.training())
    driver = Driver(optimizer, maker.driving, probe.network)
    _go_on(driver, probe, count)
    return optimizer, driver


def _go_on(driver: Driver, probe: Probe, count: int) -> None:
    for _ in range(count):
        driver.step(lambda: probe.evaluate(graph=driver.driving.graph))


def _resumes(maker: OptimizerMaker) -> bool:
    """Return whether steps after a restored state equal those of a training that was not interrupted."""
    maker = replace(maker, on_made=None)
    straight, stopped, resumed = Probe(), Probe(), Probe()
    cpu = torch.device("cpu")
    begin = random_state(cpu)
    try:
        _, driver = _steps(maker, straight, STEPS_BEFORE)
        numbers = random_state(cpu)
        _go_on(driver, straight, STEPS_AFTER)
        restore_random_state(cpu, begin)
        optimizer, _ = _steps(maker, stopped, STEPS_BEFORE)
        file = io.BytesIO()
        try:
            torch.save({"network": stopped.network.state_dict(), "optimizer": plain_state(optimizer)}, file)
            file.seek(0)
            state = torch.load(file, weights_only=True)
            other = maker.make(resumed.training())
            resumed.network.load_state_dict(state["network"])
            restore_state(other, state["optimizer"])
            restore_random_state(cpu, numbers)
            _go_on(Driver(other, maker.driving, resumed.network), resumed, STEPS_AFTER)
        except Exception:  # a state that cannot be saved or restored: it does not resume
            return False
    finally:
        restore_random_state(cpu, begin)
    return all(torch.equal(one, other) for one, other in zip(straight.weights(), resumed.weights(), strict=True))
