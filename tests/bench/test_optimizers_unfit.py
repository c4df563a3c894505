"""What cannot train a convolutional network is refused before anything runs, with the reason; what can is not."""

import pytest
import torch

from bench.optimizers import optimizer_entry
from bench.optimizers.line import optimizer_line
from bench.optimizers.unfit import check_trains
from posemodel.errors import SettingsError

OWN = """
import torch
from torch.optim import SGD, Optimizer


class Still(Optimizer):
    def __init__(self, params, lr=0.01): super().__init__(params, {"lr": lr})
    def step(self, closure=None):
        if closure is not None: closure()


class Fused(SGD):
    def fused_backward(self, loss, lr): loss.backward()


class Failing(SGD):
    def step(self, closure=None): raise RuntimeError("only on Sundays")


class Unbuilt(SGD):
    def __init__(self, params, lr=0.01): raise RuntimeError("only on Sundays")


class Matrices(SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]: p.data -= torch.linalg.svd(p.grad, full_matrices=False)[0].reshape(p.shape)


class Tensor(SGD):
    def __init__(self, params, lr=0.01): super().__init__(params, lr=torch.tensor(lr))


class Fifth(SGD):
    steps = 0
    def step(self, closure=None):
        self.steps += 1
        if self.steps % 5 == 0: super().step()


class Late(SGD):
    steps = 0
    def step(self, closure=None):
        self.steps += 1
        if self.steps > 20: super().step()
"""


@pytest.fixture
def own(hermetic, monkeypatch):
    (hermetic / "own_unfit.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(hermetic))
    monkeypatch.delitem(__import__("sys").modules, "own_unfit", raising=False)
    return "own_unfit"


def refused(name, **given):
    with pytest.raises(SettingsError) as caught:
        check_trains(optimizer_entry(name), given)
    text = str(caught.value)
    assert name in text
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sparseadam", "it accepts only sparse gradients; those of convolutions are dense"),
        (
            "muon",
            "it trains only matrices; the weights of convolutions have 4 dimensions, biases have 1. Name",
        ),
    ],
)
def test_pytorch_s_own(name, reason):
    if name not in {each.lower() for each in dir(torch.optim)}:
        pytest.skip(f"this PyTorch has no {name}")
    assert f"optimizer {name}: cannot train a convolutional network: {reason}" in refused(name, lr=0.01)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Still", "its step changes no weight"),
        ("Fused", "it computes the backward pass itself, by a method fused_backward()"),
        ("Failing", "its step on a small convolutional network fails with RuntimeError: only on Sundays"),
        ("Unbuilt", "building it fails with RuntimeError: only on Sundays"),
    ],
)
def test_one_s_own(own, name, reason):
    with pytest.raises(SettingsError) as caught:
        check_trains(optimizer_entry(f"{own}.{name}"), {"lr": 0.01})
    assert f"optimizer {own}.{name}: " in str(caught.value)
    assert reason in str(caught.value)


def test_a_value_out_of_range_is_told_as_the_class_tells_it():
    assert refused("adam", lr=-1.0) == "optimizer adam: Invalid learning rate: -1.0."


@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad", "adadelta", "adabound", "amsbound", "adafactor"])
@pytest.mark.parametrize("lr", [1e-12, 1e-6, 1e-4, 0.1])
def test_what_can_train_is_not_refused(name, lr):
    check_trains(optimizer_entry(name), {"lr": lr})


def test_steps_that_come_seldom_and_a_rate_that_is_a_tensor(own):
    check_trains(optimizer_entry(f"{own}.Fifth"), {"lr": 0.1})
    check_trains(optimizer_entry(f"{own}.Late"), {"lr": 0.1})
    check_trains(optimizer_entry(f"{own}.Tensor"), {"lr": 0.1})
    assert optimizer_line(optimizer_entry(f"{own}.Tensor"), {"lr": 0.25}, 0.0) == (
        "own_unfit.Tensor(model.parameters(), lr=0.25)"
    )
