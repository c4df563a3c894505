"""What an optimizer holds: as plain data for a file, restored from it, and counted in bytes.

`state_dict` and `load_state_dict` are not enough for every class. Some keep numbers in attributes, or wrap another
optimizer that neither method mentions; PyTorch's `load_state_dict` converts every tensor of floats to the type of the
parameter, forgets the length of deques, and replaces the containers that a wrapper shares with the wrapped one.
"""

from collections import deque
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from posemodel.training.plain_data import MISSING, PlainData, is_left_out, is_optimizer, parameters_of

BESIDE = "posemodel: beside"
"""Key, in a state dict, of what the optimizer holds beside it: its attributes, and the optimizers within it."""
_COMMON = {"state", "param_groups", "defaults", "step"}
"""Attributes of every optimizer; a schedule replaces the method `step` by an attribute."""


def plain_state(optimizer: Optimizer) -> dict[str, Any]:
    """Return the state of an optimizer as data that `torch.load(weights_only=True)` reads.

    It is `state_dict` itself for an optimizer of plain values, without attributes of its own. Tensors are not copied.
    """
    inner = inner_optimizers(optimizer)
    data = PlainData([optimizer, *inner.values()])
    plain = _plain(optimizer, data)
    wrapped = {name: _plain(each, data) for name, each in inner.items()}
    if wrapped:
        plain.setdefault(BESIDE, {})["optimizers"] = wrapped
    return plain


def _plain(optimizer: Optimizer, data: PlainData) -> dict[str, Any]:
    plain: dict[str, Any] = data.encode(dict(optimizer.state_dict()))
    attributes = {name: data.encode(value) for name, value in _attributes(optimizer)}
    attributes = {name: value for name, value in attributes.items() if not is_left_out(value)}
    return plain | ({BESIDE: {"attributes": attributes}} if attributes else {})


def restore_state(optimizer: Optimizer, plain: Mapping[str, Any]) -> None:
    """Give a newly made optimizer the state that `plain_state` returned; a state dict of PyTorch's will do, too.

    Raises CheckpointError if the state has a value that could not be stored and the new optimizer does not have.
    """
    inner = inner_optimizers(optimizer)
    data = PlainData([optimizer, *inner.values()])
    wrapped = plain.get(BESIDE, {}).get("optimizers", {})
    pairs = [(optimizer, plain), *((each, wrapped[name]) for name, each in inner.items() if name in wrapped)]
    shared = [_Containers.of(each) for each, _ in pairs]
    decoded = [_load(each, saved, data) for each, saved in pairs]
    for (each, saved), containers, state in zip(pairs, shared, decoded, strict=True):
        containers.put_back(each)
        _make_exact(each, state)
        _restore_attributes(each, saved, data)


def _load(optimizer: Optimizer, saved: Mapping[str, Any], data: PlainData) -> dict[str, Any]:
    """Load a state dict, and return it as decoded."""
    encoded = {key: value for key, value in saved.items() if key != BESIDE}
    groups = encoded.get("param_groups")
    if isinstance(groups, list):
        encoded["param_groups"] = [
            {key: value for key, value in group.items() if not is_left_out(value)} for group in groups
        ]
    own = optimizer.state_dict()
    decoded = {key: data.decode(value, own.get(key, MISSING), key) for key, value in encoded.items()}
    optimizer.load_state_dict(dict(decoded))
    return decoded


@dataclass
class _Containers:
    """The containers of an optimizer, which wrappers share: loading replaces them by others."""

    state: MutableMapping[Any, Any] | None
    groups: list[dict[str, Any]] | None
    entries: list[dict[str, Any]]
    values: list[dict[str, Any]]
    """The groups' values before loading."""

    @classmethod
    def of(cls, optimizer: Optimizer) -> "_Containers":
        held = vars(optimizer)
        groups = held.get("param_groups")
        entries = list(groups or [])
        return cls(held.get("state"), groups, entries, [dict(each) for each in entries])

    def put_back(self, optimizer: Optimizer) -> None:
        """Put what was loaded into the containers, and values that a file cannot hold back into the groups."""
        if self.state is not None and optimizer.state is not self.state:
            loaded: dict[Any, Any] = dict(optimizer.state)
            self.state.clear()
            self.state.update(loaded)
            vars(optimizer)["state"] = self.state
        if self.groups is None:
            return
        for own, values, loaded_group in zip(self.entries, self.values, list(optimizer.param_groups), strict=True):
            own.update({**values, **loaded_group})
        self.groups[:] = self.entries
        vars(optimizer)["param_groups"] = self.groups


def _make_exact(optimizer: Optimizer, decoded: Mapping[str, Any]) -> None:
    """Replace values of the parameters' states that `load_state_dict` converted by those that were saved."""
    if _is_torch_s(optimizer) or type(optimizer).state_dict is not Optimizer.state_dict:
        return  # PyTorch's read the files of earlier versions; a state dict may have another form than the state itself
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    for number, saved in decoded["state"].items():
        if not isinstance(number, int) or not isinstance(saved, dict):
            continue
        state = optimizer.state[parameters[number]]
        for key, value in saved.items():
            if key not in state or not _alike(state[key], value):
                state[key] = value


def _alike(loaded: Any, saved: Any) -> bool:
    """Return whether a loaded value has the types of the saved one, down to the elements."""
    if type(loaded) is not type(saved):
        return False
    if isinstance(saved, Tensor):
        return bool(loaded.dtype == saved.dtype and loaded.shape == saved.shape)
    if isinstance(saved, dict):
        return loaded.keys() == saved.keys() and all(_alike(loaded[key], saved[key]) for key in saved)
    if isinstance(saved, (list, tuple, deque)):
        same_limit = getattr(loaded, "maxlen", None) == getattr(saved, "maxlen", None)
        return same_limit and len(loaded) == len(saved) and all(map(_alike, loaded, saved))
    return loaded is saved or (isinstance(saved, (bool, int, float, complex, str, bytes)) and bool(loaded == saved))


def _restore_attributes(optimizer: Optimizer, saved: Mapping[str, Any], data: PlainData) -> None:
    """Set the stored attributes; containers and tensors keep their identity, since others may share them."""
    for name, encoded in saved.get(BESIDE, {}).get("attributes", {}).items():
        own = vars(optimizer).get(name, MISSING)
        value = data.decode(encoded, own, name)
        if value is own:
            continue
        if isinstance(own, Tensor) and isinstance(value, Tensor) and _alike(own, value) and own.is_leaf:
            with torch.no_grad():
                own.copy_(value)
        elif type(own) in (list, deque) and type(value) is type(own):
            own.clear()
            own.extend(value)
        elif isinstance(own, dict) and isinstance(value, dict):
            own.clear()
            own.update(value)
        else:
            vars(optimizer)[name] = value


def inner_optimizers(optimizer: Optimizer) -> dict[str, Optimizer]:
    """Return the optimizers that an optimizer holds in its attributes, and those within them, by path."""
    found: dict[str, Optimizer] = {}
    seen = {id(optimizer)}

    def visit(holder: Optimizer, path: str) -> None:
        for name, value in vars(holder).items():
            for end, each in _optimizers_in(value):
                if id(each) not in seen:
                    seen.add(id(each))
                    found[f"{path}{name}{end}"] = each
                    visit(each, f"{path}{name}{end}.")

    visit(optimizer, "")
    return found


def _optimizers_in(value: Any) -> Iterator[tuple[str, Optimizer]]:
    if is_optimizer(value):
        yield "", value
    elif isinstance(value, (list, tuple)):
        yield from ((f"[{number}]", each) for number, each in enumerate(value) if is_optimizer(each))
    elif isinstance(value, dict):
        yield from ((f"[{key!r}]", each) for key, each in value.items() if is_optimizer(each))


def _is_torch_s(optimizer: Optimizer) -> bool:
    return type(optimizer).__module__.partition(".")[0] == "torch"


def _attributes(optimizer: Optimizer) -> Iterator[tuple[str, Any]]:
    """Yield the attributes that a class keeps beside what every optimizer has; PyTorch's own classes need none."""
    if _is_torch_s(optimizer):
        return
    common = _COMMON | vars(Optimizer([nn.Parameter(torch.zeros(1))], {})).keys()
    if not isinstance(optimizer, Optimizer) and not any(
        vars(optimizer).get("state") is getattr(each, "state", None) for each in inner_optimizers(optimizer).values()
    ):
        common = common - {"state"}  # a state of its own, which its `state_dict` may leave out
    for name, value in vars(optimizer).items():
        if name not in common and name != "_opt_called" and not any(_optimizers_in(value)):
            yield name, value


def optimizer_state_bytes(optimizer: Optimizer) -> int:
    """Return the bytes of all tensors that an optimizer keeps, in its state, attributes and inner optimizers.

    Each storage counts once; those of the parameters and of their gradients do not count.
    """
    optimizers = [optimizer, *inner_optimizers(optimizer).values()]
    data, parameters = PlainData(optimizers), parameters_of(optimizers)
    sizes: dict[int, int] = {}
    seen: set[int] = set()

    def visit(value: Any) -> None:
        if isinstance(value, Tensor):
            sizes.update([_storage(value)])
        elif id(value) in seen:
            return
        elif isinstance(value, Mapping):
            seen.add(id(value))
            for each in value.values():
                visit(each)
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            seen.add(id(value))
            for each in value:
                visit(each)
        elif is_optimizer(value) or data.is_own_object(value):
            seen.add(id(value))
            visit(vars(value))
        elif isinstance(value, nn.Module) and not any(id(each) in trained for each in value.parameters()):
            seen.add(id(value))
            visit([*value.parameters(), *value.buffers()])

    trained = {id(each) for each in parameters}
    for each in optimizers:
        visit(getattr(each, "state", {}))  # a wrapper may have it as a property, or not at all
        visit(each)
    gradients = [each.grad for each in parameters if each.grad is not None]
    for number in {_storage(each)[0] for each in [*parameters, *gradients]}:
        sizes.pop(number, None)
    return sum(sizes.values())


def _storage(tensor: Tensor) -> tuple[int, int]:
    """Return an identity and the bytes of a tensor's storage; of the tensor itself if it has none (sparse ones)."""
    try:
        storage = tensor.untyped_storage()
        return storage._cdata, storage.nbytes()
    except (NotImplementedError, RuntimeError):
        return id(tensor), tensor.numel() * tensor.element_size()
