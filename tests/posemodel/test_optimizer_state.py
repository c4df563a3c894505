"""States of optimizers of every kind: saved as plain data, restored so that the same steps follow, counted in bytes."""

import io
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, Optimizer

from posemodel.errors import CheckpointError
from posemodel.training.optimizer_state import BESIDE, optimizer_state_bytes, plain_state, restore_state
from posemodel.training.plain_data import MARK, PlainData
from tests.support.driven_optimizers import Ahead, Averaging, Hoarder, Memory, Sam, Wrapper

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


def test_containers_that_a_wrapper_shares_stay_shared() -> None:
    model = network()
    optimizer = Wrapper(Adam(model.parameters(), lr=0.1))
    walk(model, optimizer, range(2))
    other = Wrapper(Adam(model.parameters(), lr=0.1))
    restore_state(other, through_a_file(plain_state(optimizer)))
    assert other.param_groups is other.base.param_groups
    assert other.state is other.base.state
    other.param_groups[0]["lr"] = 0.5
    assert other.base.param_groups[0]["lr"] == 0.5
    assert other.taken == 2


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
    }
    back = data.decode(through_a_file({"value": data.encode(value)})["value"])
    assert back.pop("generator").get_state().equal(generator.get_state())
    array = back.pop("array")
    assert (array.dtype, array.tolist()) == (np.arange(3).dtype, [0, 1, 2])
    assert type(back["numpy"]) is np.float32
    assert back == {key: each for key, each in value.items() if key not in ("array", "generator")}


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
