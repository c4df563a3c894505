"""States of optimizers of every kind: saved as plain data, restored so that the same steps follow, counted in bytes."""

import argparse
import inspect
import io
import operator
from collections import OrderedDict, deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer

from posemodel.errors import CheckpointError
from posemodel.training.joined import Joined
from posemodel.training.optimizer_state import (
    BESIDE,
    inner_optimizers,
    optimizer_state_bytes,
    plain_state,
    restore_state,
)
from posemodel.training.plain_data import MARK, PlainData, is_left_out, is_optimizer
from tests.support.driven_optimizers import Ahead, Averaging, Direction, Hoarder, Memory, Sam, Wrapper

pytestmark = pytest.mark.usefixtures("one_thread")
Make = Callable[[Any], Optimizer]


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))


def walk(model: nn.Module, optimizer: Optimizer, steps: range) -> None:
    for number in steps:

        def closure() -> torch.Tensor:
            model.zero_grad()
            inputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(number))  # noqa: B023 (called here)
            loss = model(inputs).pow(2).mean()
            loss.backward()
            return loss

        closure()
        optimizer.step(closure) if isinstance(optimizer, Sam) else optimizer.step()


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def wrapped(parameters: Any, base: Make) -> Optimizer:
    return Wrapper(base(parameters))


def ahead(parameters: Any, base: Make) -> Any:
    """Each fourth step is another, so that three of six tell whether the count is restored."""
    return Ahead(base(parameters), k=4)


@pytest.mark.parametrize(
    "make",
    [
        partial(Adam, lr=0.01),
        partial(Hoarder, lr=0.01),
        partial(Sam, lr=0.01, momentum=0.9),
        partial(wrapped, base=partial(Adam, lr=0.01)),
        partial(wrapped, base=partial(Sam, lr=0.01, momentum=0.9)),
        partial(ahead, base=partial(Adam, lr=0.01)),
        partial(ahead, base=partial(Hoarder, lr=0.01)),
        partial(ahead, base=partial(wrapped, base=partial(Adam, lr=0.01))),
    ],
    ids=["adam", "hoarder", "sam", "wrapped adam", "wrapped sam", "acting", "acting hoarder", "acting around"],
)
def test_a_restored_optimizer_takes_the_same_steps(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    if "Sam" in str(make) and "wrapped" in str(make):
        monkeypatch.setattr(Sam, "step", lambda self, closure=None: (self.first_step(), self.second_step()))
    straight = network()
    walk(straight, make(straight.parameters()), range(6))
    stopped = network()
    optimizer = make(stopped.parameters())
    walk(stopped, optimizer, range(3))
    saved = through_a_file({"optimizer": plain_state(optimizer), "network": stopped.state_dict()})
    resumed = network()
    resumed.load_state_dict(saved["network"])
    other = make(resumed.parameters())
    restore_state(other, saved["optimizer"])
    walk(resumed, other, range(3, 6))
    assert all(map(torch.equal, straight.parameters(), resumed.parameters()))


def test_an_ordinary_state_is_pytorch_s_and_pytorch_s_is_read() -> None:
    model = network()
    optimizer = Adam(model.parameters(), lr=0.1)
    walk(model, optimizer, range(2))
    plain, theirs = plain_state(optimizer), optimizer.state_dict()
    assert plain.keys() == theirs.keys()
    assert plain["param_groups"] == theirs["param_groups"]
    assert plain["state"].keys() == theirs["state"].keys()
    assert all(plain["state"][n][key] is value for n, state in theirs["state"].items() for key, value in state.items())
    other = Adam(model.parameters(), lr=0.1)
    restore_state(other, theirs)
    assert other.state_dict()["state"][0]["exp_avg"].equal(theirs["state"][0]["exp_avg"])


MISSING = object()


@pytest.mark.parametrize(
    ("loaded", "saved", "kept"),
    [
        (torch.zeros(2), torch.ones(2), True),
        (torch.zeros(2), torch.ones(2, dtype=torch.bool), False),
        (torch.zeros(2), torch.ones(3), False),
        (1.0, 1, False),
        (2, 1, False),
        (" ".join(["a", "text"]), "a text", True),
        (None, None, True),
        (MISSING, None, False),
        ([torch.zeros(2), 1], [torch.ones(2), 1], True),
        ([1], [1, 2], False),
        ([1, 2], [1, 3], False),
        ((1,), [1], False),
        (deque([1]), deque([1], maxlen=3), False),
        (deque([1], maxlen=3), deque([1], maxlen=3), True),
        ({"a": " ".join(["a", "text"])}, {"a": "a text"}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ({"a": 1}, {"a": 1.0}, False),
        (Memory(torch.zeros(1)), Memory(torch.zeros(1)), False),
    ],
)
def test_what_loading_has_converted_is_put_back_as_it_was_saved(loaded: Any, saved: Any, kept: bool) -> None:
    """A class may do more with what it loads, so that what has its type and form stays; behind what is not of a weight
    or no state, too."""

    class Loading(SGD):
        def load_state_dict(self, state_dict: Any) -> None:
            super().load_state_dict(state_dict)
            own = self.state[self.param_groups[0]["params"][2]]
            own.pop("value")
            own.update({} if loaded is MISSING else {"value": loaded})

    weights = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    optimizer, other = (Loading(weights, lr=0.1) for _ in range(2))
    optimizer.state["of all"] = {"count": 1}  # type: ignore[index]
    optimizer.state[weights[0]] = 5  # type: ignore[assignment]
    optimizer.state[weights[2]]["value"] = saved
    restore_state(other, through_a_file(plain_state(optimizer)))
    found = other.state[weights[2]]["value"]
    assert (found is loaded) == kept
    assert type(found) is type(saved)
    assert other.state["of all"] == {"count": 1}  # type: ignore[index]
    assert other.state[weights[0]] == 5


def test_attributes_that_others_share_stay_where_they_are() -> None:
    class Sharing(SGD):
        def __init__(self, params: Any, number: float) -> None:
            super().__init__(params, lr=0.1)
            self.tensor, self.listed, self.named = torch.full((2,), number), [number], {number: number}
            self.queue, self.grown, self.number = deque([number]), torch.zeros(int(number)), number
            self.computed = torch.full((2,), number, requires_grad=True) * 1
            self.either: Any = [1] if number > 1 else {2: 3}

    saved, other = (Sharing([nn.Parameter(torch.zeros(1))], number) for number in (1.0, 2.0))
    shared = other.tensor, other.listed, other.named, other.queue
    restore_state(other, through_a_file(plain_state(saved)))
    assert all(map(operator.is_, (other.tensor, other.listed, other.named, other.queue), shared))
    assert (other.tensor.tolist(), other.listed, other.named, other.queue) == ([1, 1], [1], {1.0: 1.0}, deque([1]))
    assert (other.grown.tolist(), other.number, other.computed.tolist(), other.either) == ([0], 1, [1, 1], {2: 3})


def test_a_state_that_is_computed_is_restored_and_counted() -> None:
    kept: dict[Any, Any] = {}

    class Elsewhere(SGD):
        state = property(lambda self: kept, lambda self, value: None)

    optimizer = Elsewhere([nn.Parameter(torch.zeros(1))], lr=0.1)
    kept["mean"] = {"of all": torch.zeros(3)}
    assert optimizer_state_bytes(optimizer) == 12
    joined = [
        Joined([SGD([weight], lr=0.1, momentum=0.9), Adam([nn.Parameter(weight.detach()[:2].clone())], lr=0.1)])
        for weight in (nn.Parameter(torch.zeros(4)) for _ in range(2))
    ]
    for weight in (each for group in joined[0].param_groups for each in group["params"]):
        weight.grad = torch.ones_like(weight)
    joined[0].step()
    restore_state(joined[1], through_a_file(plain_state(joined[0])))
    states = [[each.state_dict() for each in one.parts] for one in joined]
    assert str(states[0]) == str(states[1])
    assert optimizer_state_bytes(joined[1]) == optimizer_state_bytes(joined[0]) == 16 + 2 * 8 + 4


def test_containers_that_a_wrapper_shares_stay_shared() -> None:
    model = network()
    optimizer = Wrapper(Adam(model.parameters(), lr=0.1))
    walk(model, optimizer, range(2))
    other = Wrapper(Adam(model.parameters(), lr=0.1))
    other.state["stale"] = {}  # type: ignore[index]
    restore_state(other, through_a_file(plain_state(optimizer)))
    assert other.param_groups is other.base.param_groups
    assert other.state is other.base.state
    other.param_groups[0]["lr"] = 0.5
    assert other.base.param_groups[0]["lr"] == 0.5
    assert other.taken == 2
    assert "stale" not in other.state


def test_values_of_every_kind_come_back() -> None:
    optimizer = Hoarder(network().parameters(), lr=0.1)
    data = PlainData([optimizer])
    parameter = optimizer.param_groups[0]["params"][0]
    generator = torch.Generator().manual_seed(7)
    value = {
        "set": {1, 2},
        "tuple": (1, (2.5, None)),
        "numpy": np.float32(0.1),
        "array": np.arange(3),
        parameter: "by parameter",
        ("a", 1): "by tuple",
        "id": id(parameter),
        "generator": generator,
        "parameters": [parameter, {id(parameter): 1}],
        "deque": deque([1, 2], maxlen=2),
        "endless": deque([frozenset({3})]),
        "enum": Direction.DOWN,
        "marked": {MARK: "a text of its own", "more": (torch.float16, torch.Size([2]))},
        ("a", ("b", 2)): np.bool_(True),
        "ordered": OrderedDict(b=1, a=2),
    }
    back = data.decode(through_a_file({"value": data.encode(value)})["value"])
    assert back.pop("generator").get_state().equal(generator.get_state())
    array = back.pop("array")
    assert (array.dtype, array.tolist()) == (np.arange(3).dtype, [0, 1, 2])
    assert type(back["numpy"]) is np.float32
    assert [back[key].maxlen for key in ("deque", "endless")] == [2, None]
    assert [type(back[key]) for key in ("set", "ordered")] == [set, OrderedDict]
    assert type(back["endless"][0]) is frozenset
    assert back["parameters"][0] is parameter
    assert back == {key: each for key, each in value.items() if key not in ("array", "generator")}


def test_what_holds_itself_or_is_no_data_is_left_out() -> None:
    data = PlainData([Hoarder(network().parameters(), lr=0.1)])

    class Local(Memory):
        """Of no module's."""

    class Network(nn.Linear):
        """Of the optimizer's package, but a network."""

    foreign = argparse.Namespace(a=1), inspect.Parameter.KEYWORD_ONLY, np.array(["a"]), np
    for value in (print, Memory, *foreign, Network(1, 1), Local(torch.zeros(1))):
        assert is_left_out(data.encode(value)), value
        assert not is_left_out(data.encode([value]))
    own: list[Any] = [1]
    own.append(own)
    assert data.encode([own, own]) == [[1, {MARK: "left out", "type": "builtins.list"}]] * 2
    memory = Memory(torch.zeros(2))
    memory.itself = memory  # type: ignore[attr-defined]
    assert is_left_out(data.encode(memory)["attributes"]["itself"])
    assert not data.encode(torch.ones(2, requires_grad=True) * 2).requires_grad


def test_what_was_left_out_is_the_new_optimizer_s_own_wherever_it_is() -> None:
    optimizer = Hoarder(network().parameters(), lr=0.1)
    data, parameter = PlainData([optimizer]), optimizer.param_groups[0]["params"][0]
    encoded = data.encode([print, 1])
    assert data.decode(encoded, [sorted, 2]) == data.decode(encoded, (sorted, 2)) == [sorted, 1]
    assert data.decode(data.encode(deque([1, print])), deque([2, sorted])) == deque([1, sorted])
    assert data.decode(data.encode({parameter: print}), {parameter: sorted}) == {parameter: sorted}
    memories = Memory(torch.zeros(2)), Memory(torch.ones(2))
    for memory, function in zip(memories, (print, sorted), strict=True):
        memory.function = function  # type: ignore[attr-defined]
    back = data.decode(data.encode(memories[0]), memories[1])
    assert back is memories[1]
    assert (back.function, back.mean.tolist()) == (sorted, [0, 0])
    for own in ([sorted], {"a": sorted}, None):
        with pytest.raises(CheckpointError) as caught:
            data.decode({"a": encoded}, {"a": own})
        assert str(caught.value) == (
            "the optimizer's state['a'][0] is of type builtins.builtin_function_or_method, which cannot be stored, so "
            "that this run cannot be resumed. Start it again."
        )


def test_an_optimizer_is_what_has_the_methods_and_groups_of_one() -> None:
    adam = Adam(network().parameters(), lr=0.1)
    acting: Any = Ahead(adam)
    assert is_optimizer(adam)
    assert is_optimizer(acting)
    assert not any(map(is_optimizer, (Adam, network(), 3, "text", Memory(torch.zeros(1)))))
    acting.step = 3
    assert not is_optimizer(acting)

    class Network(nn.Module):
        step = zero_grad = print
        param_groups: list[Any] = []  # noqa: RUF012

    class Slotted:
        __slots__ = ()
        step = zero_grad = state_dict = load_state_dict = print
        param_groups: list[Any] = []  # noqa: RUF012

    assert not any(map(is_optimizer, (Network(), Slotted())))


def test_optimizers_within_are_found_at_their_paths() -> None:
    optimizer: Any = Wrapper(Adam(network().parameters(), lr=0.1))
    inner = [SGD(network().parameters(), lr=0.1) for _ in range(3)]
    optimizer.listed, optimizer.again = (1, inner[0]), inner[0]
    optimizer.base.by_name = {"a": inner[1], 2: inner[2], "itself": optimizer}
    assert inner_optimizers(optimizer) == {
        "base": optimizer.base,
        "base.by_name['a']": inner[1],
        "base.by_name[2]": inner[2],
        "listed[1]": inner[0],
    }


def test_what_cannot_be_stored_is_the_new_optimizer_s_own_or_an_error() -> None:
    optimizer = Hoarder(network().parameters(), lr=0.1)
    saved = through_a_file(plain_state(optimizer))
    assert saved["param_groups"][0]["scale"] == {MARK: "left out", "type": "builtins.function"}
    other = Hoarder(network().parameters(), lr=0.2)
    own = other.param_groups[0]["scale"]
    restore_state(other, saved)
    assert other.param_groups[0]["scale"] is own
    assert other.param_groups[0]["lr"] == 0.1
    first = optimizer.param_groups[0]["params"][0]
    optimizer.state[first]["function"] = print
    with pytest.raises(CheckpointError, match=r"\['function'\] is of type builtins\.builtin_function"):
        restore_state(other, through_a_file(plain_state(optimizer)))


def test_only_classes_of_the_optimizer_s_package_are_made_again() -> None:
    optimizer = Hoarder(network().parameters(), lr=0.1)
    first = optimizer.param_groups[0]["params"][0]
    optimizer.state[first]["memory"] = Memory(first)
    saved = through_a_file(plain_state(optimizer))
    saved["state"][0]["memory"] |= {"module": "os", "class": "Popen"}
    with pytest.raises(CheckpointError, match=r"os\.Popen, which is not there"):
        restore_state(Hoarder(network().parameters(), lr=0.1), saved)


def test_bytes_are_those_of_every_tensor_that_is_held_once() -> None:
    weight = nn.Parameter(torch.zeros(100))
    weight.grad = torch.ones(100)
    adam = Adam([weight], lr=0.1)
    adam.step()
    assert optimizer_state_bytes(adam) == 2 * 400 + 4
    assert optimizer_state_bytes(Wrapper(adam)) == 3 * 400 + 4, "the slow weights too"
    adam.state[weight]["views"] = [adam.state[weight]["exp_avg"][:50], {"gradient": weight.grad, "weight": weight}]
    assert optimizer_state_bytes(adam) == 2 * 400 + 4
    hoarder = Hoarder([weight], lr=0.1)
    hoarder.step()
    assert optimizer_state_bytes(hoarder) == 3 * 400 + 100, "a gradient, a memory, the last gradient, a byte for a sign"
    sam = Sam([weight], lr=0.1, momentum=0.9)
    sam.first_step()
    sam.second_step()
    assert optimizer_state_bytes(sam) == 2 * 400, "the old weight, and the momentum of the optimizer within"
    limited = torch.optim.LBFGS([weight], max_iter=1)
    limited.step((weight * 0).sum)
    assert optimizer_state_bytes(limited) >= 400


@pytest.mark.parametrize(
    ("hold", "held"),
    [
        (lambda weight: {torch.zeros(3), torch.zeros(2)}, 12 + 8),
        (lambda weight: frozenset({torch.zeros(3)}), 12),
        (lambda weight: deque([torch.zeros(3), {"a": (torch.zeros(2),)}]), 12 + 8),
        (lambda weight: [torch.zeros(3, dtype=torch.float64)] * 2, 24),
        (Memory, 400),
        (lambda weight: [weight, weight[:2], weight.grad], 0),
        (lambda weight: nn.BatchNorm1d(2), 4 * 8 + 8),
        (lambda weight: nn.ParameterList([weight, torch.zeros(7)]), 0),
        (lambda weight: torch.eye(3).to_sparse(), 36),
        (lambda weight: [3, "text", None, np.zeros(5)], 0),
    ],
    ids=["set", "frozen", "deque", "twice", "object", "trained", "module", "network", "sparse", "no tensors"],
)
def test_bytes_of_what_an_attribute_holds(hold: Callable[[nn.Parameter], Any], held: int) -> None:
    class Holding(SGD):
        held: Any = None

    weight = nn.Parameter(torch.zeros(100))
    weight.grad = torch.ones(100)
    optimizer = Holding([weight], lr=0.1)
    assert optimizer_state_bytes(optimizer) == 0
    optimizer.held = hold(weight)
    assert optimizer_state_bytes(optimizer) == held
    around: list[Any] = [optimizer.held, optimizer]
    memory = Memory(torch.zeros(0))
    memory.around = {"itself": around}  # type: ignore[attr-defined]
    around += [around, memory]
    memory.around["memory"] = memory.around  # type: ignore[attr-defined]
    optimizer.held = around
    assert optimizer_state_bytes(optimizer) == held, "what holds itself counts once"


def test_bytes_of_what_acts_like_an_optimizer_count() -> None:
    weight = nn.Parameter(torch.zeros(100))
    weight.grad = torch.ones(100)
    optimizer: Any = Ahead(Adam([weight], lr=0.1))
    optimizer.step()
    assert optimizer_state_bytes(optimizer) == 3 * 400 + 4, "and the slow weights"


def test_attributes_of_torch_s_own_classes_are_not_stored() -> None:
    model = network()
    assert BESIDE not in plain_state(SGD(model.parameters(), lr=0.1))
    assert plain_state(Averaging(model.parameters(), lr=0.1))[BESIDE]["attributes"] == {"keep": 0.8, "training": False}
