"""What a class of optimizers takes, read from its signature alone: what a space may hold, what the training gives."""

import inspect

import pytest
from torch.optim import SGD, Optimizer

from bench.optimizers.signatures import signature_of


class Named(Optimizer):
    def __init__(self, params, lr=0.1, *, beta: float = 0.9, scale=None):
        super().__init__(params, {})


class Passing(Named):
    def __init__(self, weights, lr=0.5, every: int = 2, **rest):
        super().__init__(weights, lr=lr, **rest)


class Requiring(Named):
    def __init__(self, params, teacher, lr, *, kept=1, **rest):
        super().__init__(params, lr=lr, **rest)


class OverRequired(Requiring):
    def __init__(self, params, own=3, **rest):
        super().__init__(params, None, **rest)


class Silent(OverRequired):
    """It has no constructor of its own."""


class ByPosition(Optimizer):
    def __init__(self, weights, /, lr=0.1):
        super().__init__(weights, {})


class AnyPosition(SGD):
    def __init__(self, *args, lr=0.1):
        super().__init__(*args, lr=lr)


class OfNetwork(Optimizer):
    def __init__(self, num_iterations, model, lr=0.1, momentum=0.9):
        super().__init__(model.parameters(), {})


class OfNames(Optimizer):
    def __init__(self, named_params, num_data, lr=0.1):
        super().__init__([each for _, each in named_params], {})


class Around(Optimizer):
    def __init__(self, params, base_optimizer, rho=0.05):
        super().__init__(params, {})


class AroundFactory(Optimizer):
    def __init__(self, params, my_optimizer_maker: "type[Optimizer]", rho=0.05):
        super().__init__(params, {})


class AroundMade(Optimizer):
    def __init__(self, params, inner: Optimizer, rho=0.05):
        super().__init__(params, {})


class Outside:
    def __init__(self, base, k=5):
        self.base = base


class Defaulted(Optimizer):
    def __init__(self, things, model=None, optimizer="sgd", total_steps=100):
        super().__init__(things, {})


@pytest.mark.parametrize(
    ("kind", "hyperparameters", "from_training"),
    [
        (Named, ["lr", "beta", "scale"], {"params": "parameters"}),
        (Passing, ["lr", "every", "beta", "scale"], {"weights": "parameters"}),
        (Requiring, ["teacher", "lr", "kept", "beta", "scale"], {"params": "parameters"}),
        (OverRequired, ["own", "lr", "kept", "beta", "scale"], {"params": "parameters"}),
        (Silent, ["own", "lr", "kept", "beta", "scale"], {"params": "parameters"}),
        (OfNetwork, ["num_iterations", "lr", "momentum"], {"num_iterations": "steps", "model": "network"}),
        (OfNames, ["num_data", "lr"], {"named_params": "named_parameters", "num_data": "samples"}),
        (Around, ["rho"], {"params": "parameters", "base_optimizer": "optimizer_class"}),
        (AroundFactory, ["rho"], {"params": "parameters", "my_optimizer_maker": "optimizer_class"}),
        (AroundMade, ["rho"], {"params": "parameters", "inner": "optimizer"}),
        (Outside, ["k"], {"base": "optimizer"}),
        (Defaulted, ["model", "optimizer", "total_steps"], {"things": "parameters"}),
    ],
)
def test_arguments_are_told_apart_by_their_names_and_whether_they_are_required(kind, hyperparameters, from_training):
    found = signature_of(kind)
    assert list(found.hyperparameters) == hyperparameters
    assert dict(found.from_training) == from_training
    assert not found.positional


@pytest.mark.parametrize(("kind", "names"), [(ByPosition, ["lr"]), (AnyPosition, ["lr"])])
def test_what_has_no_name_is_given_by_position(kind, names):
    found = signature_of(kind)
    assert (found.positional, list(found.hyperparameters), dict(found.from_training)) == (True, names, {})


def test_the_nearest_of_several_defaults_is_the_class_s():
    assert signature_of(Passing).hyperparameters["lr"].default == 0.5
    assert signature_of(Requiring).hyperparameters["lr"].default is inspect.Parameter.empty
    assert signature_of(Named).hyperparameters["lr"].default == 0.1


def test_a_wrapper_names_its_base_and_a_plan_what_is_filled_in():
    assert [signature_of(kind).base for kind in (Around, AroundMade, Outside, Named)] == [
        "base_optimizer",
        "inner",
        "base",
        None,
    ]
    assert signature_of(OfNetwork).fillable == {"num_iterations": "steps"}
    assert signature_of(OfNames).fillable == {"num_data": "samples"}
    assert signature_of(Named).fillable == {}


def test_a_class_that_takes_nothing_is_refused():
    class Nothing(Optimizer):
        def __init__(self):
            super().__init__([], {})

    with pytest.raises(ValueError, match="it takes no parameters to optimize"):
        signature_of(Nothing)
