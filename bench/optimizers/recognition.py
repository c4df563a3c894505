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

from bench.optimizers.joined import on_views
from posemodel.training.driving import Driver, recognised
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

    def moved(self) -> bool:
        """Whether some weight is another than at the beginning."""
        return any(bool((now != before).any()) for now, before in zip(self.weights(), self._initial, strict=True))

    def finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(torch.isfinite(weight).all()) for weight in self.weights())


@dataclass(frozen=True)
class Recognised:
    """A factory whose optimizer is driven as it asks, or why it cannot be."""

    maker: OptimizerMaker
    error: Exception | None = None
    """The error of the constructor or of a step, driven as its methods ask; None if it works."""
    built: bool = True
    """Whether it could be built."""
    still: bool = False
    """Whether its steps change no weight, at a learning rate large enough to show."""
    evaluations: float = 1.0
    """Gradient evaluations of a step."""

    @property
    def works(self) -> bool:
        """Whether its steps move weights, as far as that can be seen."""
        return self.error is None and not self.still


def recognise(maker: OptimizerMaker) -> Recognised:
    """Find the convention in which an optimizer takes steps that move weights.

    The weights are given as they lie in a training, and if no convention works, in the order of memory (`OnViews`).
    """
    first = _recognise(maker)
    if first.works:
        return first
    viewed = _recognise(replace(maker, build=on_views(maker.build)))
    return viewed if viewed.works else first


def driven(maker: OptimizerMaker) -> OptimizerMaker:
    """Return a factory with the way in which its optimizer is driven; one that cannot be stays as its methods ask."""
    return recognise(maker).maker


def _recognise(maker: OptimizerMaker) -> Recognised:
    with _own_random_numbers():
        try:
            structure = recognised(maker.build(Probe().training()))
        except Exception as error:
            return Recognised(maker, error, built=False)
        first: Recognised | None = None
        for driving in _conventions(structure):
            attempt = _attempt(replace(maker, driving=driving))
            if attempt.works:
                return attempt
            first = first or attempt
    assert first is not None
    return first


def _conventions(structure: Driving) -> Iterator[Driving]:
    """Yield the conventions to try: what the methods show, then closures and graphs."""
    yield structure
    others: tuple[tuple[ClosureUse, bool], ...] = (("only", False), ("unused", True), ("only", True))
    for closure, graph in others:
        other = replace(structure, closure=closure, graph=graph)
        if other != structure:
            yield other


def _attempt(maker: OptimizerMaker) -> Recognised:
    try:
        if maker.driving.closure != "unused":
            maker = replace(maker, driving=replace(maker.driving, closure=_closure_use(maker)))
        probe = Probe()
        optimizer = maker.make(probe.training())
        driver = Driver(optimizer, maker.driving, probe.network)
        evaluations = steps = 0
        visible = shows(optimizer)
        while steps < STEPS or (visible and steps < MOST_STEPS and not probe.moved()):
            evaluations += driver.step(lambda: probe.evaluate(graph=maker.driving.graph))
            steps += 1
    except Exception as error:
        return Recognised(maker, error)
    return Recognised(maker, still=visible and not probe.moved(), evaluations=evaluations / steps)


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


def shows(optimizer: Optimizer) -> bool:
    """Return whether a step must be visible: no learning rate is too small for that."""
    rates = [group["lr"] for group in optimizer.param_groups if group.get("lr") is not None]
    return all(float(rate) >= MIN_VISIBLE_LR for rate in rates)


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """Leave the global random numbers as they are: a check must not change a training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
