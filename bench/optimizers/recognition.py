"""Find out how an optimizer is driven, by steps on a small network: an ordinary step first, then other conventions.

The network has a convolution, batch norm and biases, in the memory format of training (channels last).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from posemodel.training.driving import Driver, recognised
from posemodel.training.joined import Joined, on_views
from posemodel.training.optimizer_maker import ClosureUse, Driving, OptimizerMaker, Training

CHANNELS, WIDTH, SIDE, IMAGES = 3, 4, 6, 4
"""Channels of the images and within the network, side of an image in pixels, images of a batch."""
STEPS = 5
MOST_STEPS = 25
"""Steps within which some weight must move: rectified methods begin late, others move every few steps."""
RUN_STEPS, SAMPLES = 100, 1000
"""Length and number of samples of a training, for classes that ask for them."""
MIN_VISIBLE_LR = 1e-4
"""Smaller learning rates may change a weight by less than float32 can represent."""


class Probe:
    """A small network with a batch: the same weights and numbers each time."""

    def __init__(self) -> None:
        with _own_random_numbers():
            self.network = nn.Sequential(
                nn.Conv2d(CHANNELS, WIDTH, 3, padding=1),
                nn.BatchNorm2d(WIDTH),
                nn.ReLU(),
                nn.Conv2d(WIDTH, 2, 1),
            ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch has no stub of this
            self._images = torch.randn(IMAGES, CHANNELS, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
            self._targets = torch.randn(IMAGES, 2, SIDE, SIDE)
        self._initial = self.weights()

    def training(self) -> Training:
        """What a training of this network says to an optimizer's factory."""
        return Training(list(self.network.parameters()), self.network, steps=RUN_STEPS, samples=SAMPLES)

    def evaluate(self, *, graph: bool = False) -> Tensor:
        """Compute the loss and its gradients."""
        self.network.zero_grad(set_to_none=True)
        loss: Tensor = ((self.network(self._images) - self._targets) ** 2).mean()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"Using backward\(\) with create_graph=True")
            loss.backward(create_graph=graph)
        return loss

    def weights(self) -> list[Tensor]:
        """Return a copy of the weights."""
        return [weight.detach().clone() for weight in self.network.parameters()]

    def moved(self, *, each_shape: bool = False) -> bool:
        """Whether some weight is another than at the beginning; with ``each_shape`` both a matrix and another one."""
        moved = {
            now.ndim > 1
            for now, before in zip(self.network.parameters(), self._initial, strict=True)
            if bool((now != before).any())
        }
        return len(moved) > 1 if each_shape else bool(moved)


@dataclass(frozen=True)
class Recognised:
    """How the optimizers of a factory are driven, or why they cannot be."""

    driving: Driving
    views: bool = False
    """Whether they get the weights in the order of memory (`on_views`)."""
    error: Exception | None = None
    """The error of the constructor, or of the convention that got furthest; None if there is one that works."""
    built: bool = True
    """Whether one could be built."""
    still: bool = False
    """Whether their steps change no weight, at a learning rate large enough to show."""
    evaluations: float = 1.0
    """Gradient evaluations of a step; up to the error, if there is one."""

    @property
    def works(self) -> bool:
        """Whether steps move weights, as far as that can be seen."""
        return self.error is None and not self.still

    def applied_to(self, maker: OptimizerMaker) -> OptimizerMaker:
        """Return a factory whose optimizers are driven so.

        A class that plans its own schedule counts its steps, which are fewer than gradient evaluations.
        """
        build, evaluations = on_views(maker.build) if self.views else maker.build, self.evaluations

        def planned(training: Training) -> Optimizer:
            steps = None if training.steps is None else max(1, round(training.steps / evaluations))
            return build(replace(training, steps=steps))

        return replace(maker, build=planned if evaluations > 1 else build, driving=self.driving)


def recognise(maker: OptimizerMaker) -> Recognised:
    """Find the convention in which an optimizer takes steps that move weights.

    The weights are given as they lie in a training, and if each convention fails, in the order of memory.
    """
    first = _recognise(maker)
    if first.error is None:
        return first
    viewed = _recognise(replace(maker, build=on_views(maker.build)))
    return replace(viewed, views=True) if viewed.works else first


def driven(visible: OptimizerMaker, maker: OptimizerMaker) -> OptimizerMaker:
    """Return a factory with the way in which its optimizers are driven.

    That is found with ``visible``, the same factory at a learning rate at which steps show. An optimizer that cannot be
    driven stays as its methods ask.
    """
    return recognise(visible).applied_to(maker)


def take_steps(maker: OptimizerMaker) -> Recognised:
    """Take steps with an optimizer that is driven as its factory says."""
    evaluations = steps = 0
    try:
        with _own_random_numbers():
            probe = Probe()
            optimizer = maker.make(probe.training())
            driver = Driver(optimizer, maker.driving, probe.network)
            visible, each_shape = shows(optimizer), isinstance(optimizer, Joined) and len(optimizer.parts) > 1

            def evaluate() -> Tensor:
                nonlocal evaluations
                evaluations += 1
                return probe.evaluate(graph=maker.driving.graph)

            counted = 0
            while steps < STEPS or (visible and steps < MOST_STEPS and not probe.moved(each_shape=each_shape)):
                counted += driver.step(evaluate)
                steps += 1
    except Exception as error:
        return Recognised(maker.driving, error=error, evaluations=evaluations)
    still = visible and not probe.moved(each_shape=each_shape)
    return Recognised(maker.driving, still=still, evaluations=counted / steps)


def _recognise(maker: OptimizerMaker) -> Recognised:
    with _own_random_numbers():
        try:
            structure = recognised(maker.build(Probe().training()))
        except Exception as error:
            return Recognised(Driving(), error=error, built=False)
    furthest: Recognised | None = None
    for driving in _conventions(structure):
        attempt = _attempt(replace(maker, driving=driving))
        if attempt.works:
            return attempt
        if furthest is None or (attempt.error is not None and attempt.evaluations > furthest.evaluations):
            furthest = attempt
    assert furthest is not None
    return replace(furthest, driving=structure)


def _conventions(structure: Driving) -> Iterator[Driving]:
    """Yield the conventions to try: what the methods show, then closures and graphs."""
    yield structure
    others: tuple[tuple[ClosureUse, bool], ...] = (("only", False), ("unused", True), ("only", True))
    for closure, graph in others:
        other = replace(structure, closure=closure, graph=graph)
        if other != structure:
            yield other


def _attempt(maker: OptimizerMaker) -> Recognised:
    if maker.driving.closure == "unused":
        return take_steps(maker)
    try:
        with _own_random_numbers():
            use = _closure_use(maker)
    except Exception as error:
        return Recognised(maker.driving, error=error, evaluations=0)
    maker = replace(maker, driving=replace(maker.driving, closure=use))
    result = take_steps(maker)
    away = result.works and use == "only" and calls_away(maker)
    return replace(result, driving=replace(result.driving, away=away))


def _closure_use(maker: OptimizerMaker) -> ClosureUse:
    """Return whether a step with a closure wants gradients first: it then changes the weights before it calls it."""
    probe = Probe()
    optimizer = maker.make(probe.training())
    probe.evaluate(graph=maker.driving.graph)
    before, calls = probe.weights(), list[bool]()

    def closure() -> Tensor:
        same = all(bool((now == then).all()) for now, then in zip(probe.weights(), before, strict=True))
        calls.append(same)
        with torch.enable_grad():
            return probe.evaluate(graph=maker.driving.graph).detach()

    optimizer.step(closure)  # type: ignore[arg-type]
    if not calls:
        raise RuntimeError("its step does not call the closure")
    return "only" if calls[0] else "after_gradients"


def calls_away(maker: OptimizerMaker) -> bool:
    """Return whether a step begins by moving the weights to others, at which it calls the closure (`Driving.away`).

    Schedule-free methods do so once their two sequences of weights differ, after some steps.
    """
    with _own_random_numbers():
        probe = Probe()
        driver = Driver(maker.make(probe.training()), maker.driving, probe.network)
        for _ in range(MOST_STEPS):
            before, away = probe.weights(), list[bool]()

            def evaluate(before: list[Tensor] = before, away: list[bool] = away) -> Tensor:
                away.append(any(bool((now != then).any()) for now, then in zip(probe.weights(), before, strict=True)))
                return probe.evaluate(graph=maker.driving.graph)

            driver.step(evaluate, remaining=1)
            if away[:1] == [True]:  # what follows the first evaluation of a step does not count for batch norm
                return True
    return False


def shows(optimizer: Optimizer) -> bool:
    """Return whether a step must be visible: no learning rate is too small for that."""
    rates = [group["lr"] for group in optimizer.param_groups if group.get("lr") is not None]
    return all(float(rate) >= MIN_VISIBLE_LR for rate in rates)


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Leave the global random numbers as they are: a check must not change a training."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        yield
