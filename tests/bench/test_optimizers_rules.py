"""Each optimizer of the registry against its published update rule, written out in NumPy: 50 steps, several tensors."""

import numpy as np
import pytest
import torch

from bench.optimizers import OPTIMIZERS, optimizer_entry

STEPS = 50
SHAPES = [(), (5,), (3, 4), (4, 3, 3, 3)]


def sgd(w, g, _t, s, *, lr, momentum):
    # Polyak, 1964, with the rate outside of the velocity.
    s["v"] = momentum * s.get("v", 0.0) + g
    return w - lr * s["v"]


def nesterov(w, g, _t, s, *, lr, momentum):
    # Sutskever et al., 2013, in the form that takes the gradient at the point reached.
    s["v"] = momentum * s.get("v", 0.0) + g
    return w - lr * (g + momentum * s["v"])


def adagrad(w, g, _t, s, *, lr, initial_accumulator_value=0.0, eps=1e-10):
    # Duchi et al., 2011, the diagonal form.
    s["s"] = s.get("s", initial_accumulator_value) + g**2
    return w - lr * g / (np.sqrt(s["s"]) + eps)


def adadelta(w, g, _t, s, *, lr, rho, eps=1e-6):
    # Zeiler, 2012, algorithm 1, with a learning rate.
    s["squares"] = rho * s.get("squares", 0.0) + (1 - rho) * g**2
    step = np.sqrt(s.get("steps", 0.0) + eps) / np.sqrt(s["squares"] + eps) * g
    s["steps"] = rho * s.get("steps", 0.0) + (1 - rho) * step**2
    return w - lr * step


def moments(g, s, beta1, beta2):
    s["m"] = beta1 * s.get("m", 0.0) + (1 - beta1) * g
    s["v"] = beta2 * s.get("v", 0.0) + (1 - beta2) * g**2


def adam(w, g, t, s, *, lr, betas=(0.9, 0.999), eps=1e-8):
    # Kingma and Ba, 2015, algorithm 1.
    moments(g, s, *betas)
    mean, square = s["m"] / (1 - betas[0] ** t), s["v"] / (1 - betas[1] ** t)
    return w - lr * mean / (np.sqrt(square) + eps)


def adabound(w, g, t, s, *, lr, final_lr=0.1, gamma=1e-3, betas=(0.9, 0.999), eps=1e-8, ams=False):
    # Luo et al., 2019, algorithms 2 and 3, with the bias correction and the bounds of the authors' package.
    moments(g, s, *betas)
    s["largest"] = np.maximum(s.get("largest", 0.0), s["v"]) if ams else s["v"]
    size = lr * np.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
    lower, upper = final_lr * (1 - 1 / (gamma * t + 1)), final_lr * (1 + 1 / (gamma * t))
    return w - np.clip(size / (np.sqrt(s["largest"]) + eps), lower, upper) * s["m"]


def amsbound(w, g, t, s, **settings):
    return adabound(w, g, t, s, ams=True, **settings)


RULES = {
    "sgd": (sgd, [{"lr": 0.03, "momentum": 0.9}, {"lr": 0.1, "momentum": 0.0}]),
    "nesterov": (nesterov, [{"lr": 0.03, "momentum": 0.9}]),
    "adagrad": (adagrad, [{"lr": 0.1}, {"lr": 0.1, "initial_accumulator_value": 0.1, "eps": 1e-3}]),
    "adadelta": (adadelta, [{"lr": 2.0, "rho": 0.9}, {"lr": 0.5, "rho": 0.99, "eps": 1e-3}]),
    "adam": (adam, [{"lr": 0.01}, {"lr": 0.01, "betas": (0.5, 0.9), "eps": 1e-2}]),
    "adabound": (
        adabound,
        [
            {"lr": 0.01},  # mostly Adam
            {"lr": 1.0, "gamma": 0.05},  # the upper bound holds
            {"lr": 1e-4, "gamma": 0.5, "betas": (0.5, 0.9)},  # the lower bound holds
        ],
    ),
    "amsbound": (amsbound, [{"lr": 0.01, "betas": (0.9, 0.8)}, {"lr": 1.0, "gamma": 0.05}]),
    "adaboundw": (adabound, [{"lr": 0.01}, {"lr": 1.0, "gamma": 0.05}]),
}
DECOUPLED = ("adaboundw",)
"""Those whose weights shrink by lr * weight_decay (Loshchilov and Hutter, 2019) instead of being penalized."""
CASES = [(name, settings) for name, (_, each) in RULES.items() for settings in each]


def test_every_optimizer_of_the_registry_has_its_rule_here():
    assert {*RULES, "adabound_reference"} == set(OPTIMIZERS)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("name", "settings"), CASES)
def test_50_steps_follow_the_published_rule(name, settings, weight_decay):
    rng = np.random.default_rng(0)
    expected = [rng.normal(size=shape) for shape in SHAPES]
    weights = [torch.nn.Parameter(torch.tensor(each)) for each in expected]
    weights[-1].data = weights[-1].data.contiguous(memory_format=torch.channels_last)
    optimizer = optimizer_entry(name).factory({**settings, "weight_decay": weight_decay})(weights)
    rule, states = RULES[name][0], [{} for _ in SHAPES]
    for t in range(1, STEPS + 1):
        for place, weight in enumerate(weights):
            # Gradients of very different sizes, some zero, that fade.
            gradient = rng.normal(size=SHAPES[place]) * 10.0 ** rng.uniform(-3, 1, SHAPES[place]) * 0.97**t
            gradient = np.where(rng.random(SHAPES[place]) < 0.05, 0.0, gradient)
            weight.grad = torch.empty_like(weight).copy_(torch.as_tensor(gradient))
            if name in DECOUPLED:
                shrunk, penalized = (1 - settings["lr"] * weight_decay) * expected[place], gradient
            else:
                shrunk, penalized = expected[place], gradient + weight_decay * expected[place]
            expected[place] = rule(shrunk, penalized, t, states[place], **settings)
        optimizer.step()
        for weight, each in zip(weights, expected, strict=True):
            np.testing.assert_allclose(weight.detach().numpy(), each, rtol=1e-9, atol=1e-12)
