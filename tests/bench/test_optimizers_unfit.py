"""What cannot train a convolutional network in an ordinary loop is refused before anything runs, with the reason."""

import pytest
import torch

from bench.optimizers import optimizer_entry
from bench.optimizers.line import optimizer_line
from bench.optimizers.unfit import check_trains
from posemodel.errors import SettingsError

OWN = """
import torch
from torch.optim import SGD, Optimizer


class Closing(Optimizer):
    def __init__(self, params, lr=0.01): super().__init__(params, {"lr": lr})
    def step(self, closure=None):
        if closure is None: raise RuntimeError("not without the loss")
        with torch.enable_grad(): closure()


class Silent(Closing):
    def step(self, closure=None):
        if closure is not None: closure()


class Around:
    def __init__(self, optimizer, k=5): self.optimizer = optimizer
    def step(self, closure=None): return self.optimizer.step(closure)


class Sharpness(Optimizer):
    def __init__(self, params, base_optimizer, rho=0.05, lr=0.1): super().__init__(params, {"rho": rho, "lr": lr})


class Averaged(Optimizer):
    def __init__(self, params, lr=0.01): super().__init__(params, {"lr": lr, "train_mode": False})
    def train(self): self.param_groups[0]["train_mode"] = True
    def eval(self): self.param_groups[0]["train_mode"] = False
    def step(self, closure=None):
        if not self.param_groups[0]["train_mode"]: raise Exception("Optimizer was not in train mode")


class AveragedQuietly(SGD):
    def train(self): pass
    def eval(self): pass


class Hessian(SGD):
    def step(self, closure=None):
        raise RuntimeError("Gradient tensor does not have grad_fn. Set loss.backward(create_graph=True)")


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
        ("lbfgs", "needs a closure that computes the loss again"),
        ("sparseadam", "accepts only sparse gradients; those of convolutions are dense"),
        ("muon", "trains only matrices; the weights of convolutions have 4 dimensions"),
    ],
)
def test_pytorch_s_own(name, reason):
    if name not in {each.lower() for each in dir(torch.optim)}:
        pytest.skip(f"this PyTorch has no {name}")
    assert f"optimizer {name}: cannot train a convolutional network: it {reason}" in refused(name, lr=0.01)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Closing", "needs a closure that computes the loss again"),
        ("Silent", "its step changes no weight. Does it need a closure?"),
        ("Around", "is a wrapper around another optimizer"),
        ("Sharpness", "is a wrapper around another optimizer"),
        ("Averaged", "switches its weights between training and evaluation (train() and eval()"),
        ("AveragedQuietly", "switches its weights between training and evaluation (train() and eval()"),
        ("Hessian", "needs second derivatives"),
    ],
)
def test_one_s_own(own, name, reason):
    assert reason in refused(f"{own}.{name}", lr=0.01)


def test_a_value_out_of_range_is_told_as_the_class_tells_it():
    assert refused("adam", lr=-1.0) == "optimizer adam: Invalid learning rate: -1.0."


@pytest.mark.parametrize("name", ["sgd", "adam", "adagrad", "adadelta", "adabound", "amsbound", "adafactor"])
@pytest.mark.parametrize("lr", [1e-12, 1e-6, 1e-4, 0.1])
def test_what_can_train_is_not_refused(name, lr):
    check_trains(optimizer_entry(name), {"lr": lr})


def test_steps_that_come_seldom_and_a_rate_that_is_a_tensor(own):
    check_trains(optimizer_entry(f"{own}.Fifth"), {"lr": 0.1})
    check_trains(optimizer_entry(f"{own}.Tensor"), {"lr": 0.1})
    assert optimizer_line(optimizer_entry(f"{own}.Tensor"), {"lr": 0.25}, 0.0) == (
        "own_unfit.Tensor(model.parameters(), lr=0.25)"
    )
