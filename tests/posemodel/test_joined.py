"""Optimizers made of others: several as one, views in the order of memory, matrices and the rest."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import SGD, Adam, Optimizer

from posemodel.training.joined import Joined, OnViews, as_groups, by_shape, on_views, with_flag
from posemodel.training.optimizer_maker import Training
from tests.support.driven_optimizers import Averaging, ClosureDescent


def weight(*shape: int, channels_last: bool = False) -> Parameter:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))
    return Parameter(values.contiguous(memory_format=torch.channels_last) if channels_last else values)


def pull(*weights: Parameter) -> None:
    """Give each weight the gradient 1, 2, 3, ..., in the order of its axes."""
    for each in weights:
        each.grad = torch.arange(1.0, each.numel() + 1).view(each.shape).clone(memory_format=torch.preserve_format)


class Assigning(SGD):
    """Puts other memory under its weights, as some optimizers do."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for each in group["params"]:
                each.data = each - group["lr"] * each.grad


# --- several as one ---------------------------------------------------------------------------------------------------


def test_groups_state_and_steps_are_those_of_all_parts() -> None:
    first, second = weight(2), weight(3)
    starts = first.detach().clone(), second.detach().clone()
    parts = SGD([first], lr=0.5), Adam([second], lr=0.25)
    joined, steps = Joined(parts), []
    joined.register_step_post_hook(lambda *_: steps.append(1))
    assert [group["params"] for group in joined.param_groups] == [[first], [second]]
    assert all(group is part.param_groups[0] for group, part in zip(joined.param_groups, parts, strict=True))
    assert joined.defaults == {**parts[0].defaults, **parts[1].defaults}
    assert joined.defaults["betas"] == (0.9, 0.999)
    pull(first, second)
    joined.step()
    torch.testing.assert_close(first.detach(), starts[0] - 0.5 * torch.tensor([1.0, 2]))
    torch.testing.assert_close(second.detach(), starts[1] - 0.25)
    assert steps == [1]
    assert {*joined.state} == {second}
    assert joined.state[second] is parts[1].state[second]
    joined.zero_grad()
    assert (first.grad, second.grad) == (None, None)
    pull(first, second)
    joined.zero_grad(set_to_none=False)
    assert [each.grad.abs().sum().item() for each in (first, second)] == [0, 0]


def test_the_state_of_each_part_is_restored() -> None:
    saved = Joined([SGD([weight(2)], lr=0.5), Adam([weight(3)], lr=0.25)]).state_dict()
    other = Joined([SGD([weight(2)], lr=1.0), Adam([weight(3)], lr=1.0)])
    other.load_state_dict(saved)
    assert [group["lr"] for group in other.param_groups] == [0.5, 0.25]
    with pytest.raises(ValueError, match="shorter"):
        other.load_state_dict({"parts": saved["parts"][:1]})


def test_a_closure_is_for_an_only_part() -> None:
    own = weight(1)

    def closure() -> Tensor:
        own.grad = torch.ones(1)
        return torch.tensor(7.0)

    start = own.item()
    assert Joined([ClosureDescent([own], lr=0.5)]).step(closure) == 7
    assert own.item() == pytest.approx(start - 0.5)
    with pytest.raises(RuntimeError, match="several optimizers cannot share a closure"):
        Joined([ClosureDescent([own], lr=0.5), SGD([weight(2)], lr=1)]).step(closure)


def test_modes_are_there_if_a_part_or_one_inside_has_them() -> None:
    plain = Joined([SGD([weight(2)], lr=1)])
    assert not hasattr(plain, "train")
    with pytest.raises(AttributeError, match="Joined has no attribute 'eval'"):
        plain.eval()
    averaging = Averaging([weight(3)], lr=1)
    for joined in (Joined([SGD([weight(2)], lr=1), averaging]), Joined([SGD([weight(2)], lr=1)], [averaging])):
        assert not hasattr(joined, "first_step")
        joined.train()
        assert averaging.training
        joined.eval()
        assert not averaging.training


# --- views ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SGD, Assigning])
@pytest.mark.parametrize("matrices", [False, True])
def test_what_changes_a_view_changes_the_weight(matrices: bool, kind: type[SGD]) -> None:
    weights = [weight(4, 3, 2, 2, channels_last=True), weight(4, 3, 2), weight(3, 2), weight(3)]
    weights.append(Parameter(torch.zeros(5)[::5]))  # a single number, though with a gap behind it
    starts = [each.detach().clone() for each in weights]
    made: list[Optimizer] = []

    def build(training: Training, lr: float) -> Optimizer:
        made.append(kind(training.parameters, lr=lr))
        return made[-1]

    optimizer = on_views(build, matrices=matrices)(Training(weights), lr=0.5)
    given = made[0].param_groups[0]["params"]
    whole = [(4, 12), (4, 6)] if matrices else [(4, 2, 2, 3), (4, 3, 2)]
    assert [tuple(each.shape) for each in given] == [*whole, (3, 2), (3,), (1,)]
    assert all(each.is_contiguous() for each in given)
    assert [each is own for each, own in zip(given, weights, strict=True)] == [
        *(False, not matrices),
        *(True, True, False),
    ]
    for _ in range(2):
        pull(*weights)
        optimizer.step()
    for own, start in zip(weights, starts, strict=True):
        steps = torch.arange(1.0, own.numel() + 1).view(own.shape)
        torch.testing.assert_close(own.detach(), start - 2 * 0.5 * steps)
    assert given[0].data_ptr() == weights[0].data_ptr()


def test_what_modes_change_in_a_view_changes_the_weight() -> None:
    class Doubling(SGD):
        def train(self) -> None:
            self.param_groups[0]["params"][0].data = self.param_groups[0]["params"][0].detach() * 2

        eval = train

    own = weight(4, 3, 2, 2, channels_last=True)
    start = own.detach().clone()
    optimizer: Any = on_views(lambda training: Doubling(training.parameters, lr=1))(Training([own]))
    optimizer.eval()
    torch.testing.assert_close(own.detach(), 2 * start)


def test_a_weight_without_a_gradient_stays_and_frozen_ones_stay_frozen() -> None:
    still, frozen = (weight(4, 3, 2, 2, channels_last=True) for _ in range(2))
    frozen.requires_grad_(False)
    start = still.detach().clone()
    optimizer = on_views(lambda training: SGD(training.parameters, lr=1, weight_decay=1))(Training([still, frozen]))
    views = optimizer.param_groups[0]["params"]
    assert [each.requires_grad for each in views] == [True, False]
    pull(still)
    optimizer.step()
    assert not torch.equal(still, start)
    optimizer.zero_grad(set_to_none=False)
    assert (still.grad.abs().sum(), views[0].grad.abs().sum()) == (0, 0)
    optimizer.zero_grad()
    assert (still.grad, views[0].grad) == (None, None)
    start = still.detach().clone()
    optimizer.step()
    assert torch.equal(still, start)


def test_a_closure_sees_what_has_been_changed_and_its_gradients_are_passed_on() -> None:
    own = weight(4, 3, 2, 2, channels_last=True)
    start, seen = own.detach().clone(), []

    class Twice(Assigning):
        def step(self, closure: Any = None) -> Any:  # type: ignore[override]
            super().step()
            loss = closure()
            super().step()
            return loss

    def closure() -> str:
        seen.append(own.detach().clone())
        own.grad = torch.full_like(own, 4)
        return "the loss"

    optimizer = on_views(lambda training: Twice(training.parameters, lr=1))(Training([own]))
    own.grad = torch.full_like(own, 2)
    assert optimizer.step(closure) == "the loss"
    torch.testing.assert_close(seen, [start - 2])
    torch.testing.assert_close(own.detach(), start - 6)


def test_an_optimizer_gets_plain_weights_as_such_and_groups_as_groups() -> None:
    asked: list[Any] = []

    def build(training: Training) -> Optimizer:
        asked.append([dict(each) if isinstance(each, dict) else each for each in training.parameters])
        return SGD(training.parameters, lr=1)

    first, second = weight(2), weight(3)
    for parameters in (
        [first, second],
        iter([{"params": [first, second]}]),
        [{"params": [first], "lr": 0.5}],
        [{"params": [first]}, {"params": [second]}],
    ):
        on_views(build)(Training(parameters))
    assert asked[:2] == [[first, second]] * 2
    assert asked[2:] == [[{"params": [first], "lr": 0.5}], [{"params": [first]}, {"params": [second]}]]


def test_a_weight_with_gaps_in_memory_has_no_view() -> None:
    gaps = Parameter(torch.zeros(4, 6)[:, ::2])
    with pytest.raises(RuntimeError, match=r"a weight of shape \(4, 3\) has no view in the order of memory"):
        on_views(lambda training: SGD(training.parameters, lr=1))(Training([gaps]))


# --- matrices and the rest --------------------------------------------------------------------------------------------


def test_matrices_go_to_one_optimizer_and_the_rest_to_the_other() -> None:
    kernel, matrix, bias, scalar = weight(4, 3, 2, 2, channels_last=True), weight(3, 2), weight(3), weight()
    groups = [{"params": iter([kernel, bias]), "lr": 0.5}, {"params": [matrix]}, {"params": [scalar], "lr": 0.25}]
    made: dict[str, list[dict[str, Any]]] = {}

    def make(name: str, kind: type[Optimizer]) -> Any:
        return lambda chosen: made.setdefault(name, chosen) and kind(chosen, lr=1)  # type: ignore[call-arg]

    joined = by_shape(groups, make("matrices", SGD), make("rest", Adam))
    assert isinstance(joined, OnViews)
    assert [type(part) for part in joined.parts] == [SGD, Adam]
    assert [(*map(tuple, (each.shape for each in group["params"])), group["lr"]) for group in made["matrices"]] == [
        ((4, 12), 0.5),
        ((3, 2), 1),
    ]
    assert [(group["params"], group["lr"]) for group in made["rest"]] == [([bias], 0.5), ([scalar], 0.25)]
    starts = kernel.detach().clone(), bias.detach().clone()
    pull(kernel, matrix, bias, scalar)
    joined.step()
    torch.testing.assert_close(kernel.detach(), starts[0] - 0.5 * torch.arange(1.0, 49).view(4, 3, 2, 2))
    torch.testing.assert_close(bias.detach(), starts[1] - 0.5)


def test_an_optimizer_that_would_have_no_weights_is_not_made() -> None:
    def refuse(groups: Any) -> Optimizer:
        raise AssertionError(groups)

    def sgd(groups: Any) -> Optimizer:
        return SGD(groups, lr=1)

    assert len(by_shape([{"params": [weight(3, 2)]}], sgd, refuse).parts) == 1
    assert len(by_shape([{"params": [weight(3)]}, {"params": [weight(4)]}], refuse, sgd).parts) == 1


def test_groups_divided_by_a_flag_keep_their_options() -> None:
    kernel, matrix, bias = weight(4, 3, 2, 2), weight(3, 2), weight(3)
    groups = [{"params": iter([bias, kernel, matrix]), "lr": 0.5}, {"params": [bias]}]
    assert with_flag(groups, "use_muon") == [
        {"params": [kernel, matrix], "lr": 0.5, "use_muon": True},
        {"params": [bias], "lr": 0.5, "use_muon": False},
        {"params": [bias], "use_muon": False},
    ]


def test_parameters_become_groups_that_may_be_changed() -> None:
    own, group = weight(2), {"params": [weight(3)], "lr": 0.5}
    assert as_groups(iter([own])) == [{"params": [own]}]
    assert as_groups([]) == [{"params": []}]
    (copied,) = as_groups(iter([group]))
    assert copied == group
    assert copied is not group
