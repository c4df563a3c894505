"""Values that PyTorch's safe loader refuses (`torch.load(weights_only=True)`), as plain data that it reads.

Numbers, texts, tensors and their lists, tuples and dictionaries stay as they are. Deques, sets, enum members, NumPy's
values, random generators, references to the trained parameters (and their `id`), and objects of the optimizer's own
package become dictionaries with a `MARK`. What cannot be stored (a function, a network) is left out, and taken from the
newly made optimizer when a state is restored.
"""

import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from posemodel.errors import CheckpointError

MARK = "posemodel: kind"
"""Key of the dictionaries that stand for other values."""
LEFT_OUT = "left out"
MISSING = object()
"""Stands for a value that the newly made optimizer does not have."""
_NOT_OWN = {"torch", "builtins", "abc", "typing"}
"""Packages of base classes, whose objects are not the optimizer's own."""
_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size)


def is_optimizer(value: Any) -> bool:
    """Return whether an object is an optimizer, or acts like one: wrappers need not be derived from PyTorch's class."""
    if isinstance(value, Optimizer):
        return True
    if isinstance(value, (type, nn.Module)) or not hasattr(value, "__dict__"):
        return False
    methods = (getattr(value, name, None) for name in ("step", "zero_grad", "state_dict", "load_state_dict"))
    return all(map(callable, methods)) and isinstance(getattr(value, "param_groups", None), list)


def is_left_out(encoded: Any) -> bool:
    """Return whether an encoded value was left out."""
    return isinstance(encoded, dict) and encoded.get(MARK) == LEFT_OUT


class PlainData:
    """Encodes and decodes the values that an optimizer holds."""

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        """Encode for an optimizer and those within it; objects of classes in their packages may be stored."""
        self._parameters = parameters_of(optimizers)
        self._numbers = {id(each): number for number, each in enumerate(self._parameters)}
        modules = {base.__module__ for each in optimizers for base in type(each).__mro__}
        self._packages = {module.partition(".")[0] for module in modules} - _NOT_OWN
        self._open: set[int] = set()
        """Identities of the objects that are being encoded: one that holds itself is left out."""

    def is_own_object(self, value: Any) -> bool:
        """Return whether ``value`` is an object with attributes, of a class in the package of the optimizer."""
        kind = type(value)
        return (
            kind.__module__.partition(".")[0] in self._packages
            and hasattr(value, "__dict__")
            and not isinstance(value, (type, FunctionType, ModuleType, Enum, nn.Module, Tensor))
            and not is_optimizer(value)
            and getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind
        )

    def encode(self, value: Any) -> Any:
        """Return ``value`` as plain data; plain values are returned as equal ones, tensors as they are."""
        if type(value) is int and value in self._numbers:
            return {MARK: "parameter's id", "number": self._numbers[value]}
        if type(value) in _PLAIN:
            return value
        if isinstance(value, Tensor):
            if id(value) in self._numbers:
                return {MARK: "parameter", "number": self._numbers[id(value)]}
            return value if value.is_leaf else value.detach()
        if id(value) in self._open:
            return _left_out(value)
        self._open.add(id(value))
        try:
            return self._encode_compound(value)
        finally:
            self._open.remove(id(value))

    def _encode_compound(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._encode_dict(value)
        if type(value) in (list, tuple):
            return type(value)(self.encode(each) for each in value)
        if isinstance(value, deque):
            return {MARK: "deque", "items": [self.encode(each) for each in value], "maxlen": value.maxlen}
        if type(value) in (set, frozenset):
            return {MARK: type(value).__name__, "items": [self.encode(each) for each in value]}
        if isinstance(value, (np.generic, np.ndarray)) and value.dtype.kind in "biufc":
            array = torch.from_numpy(np.array(value))
            return {MARK: "numpy", "values": array, "scalar": isinstance(value, np.generic)}
        if isinstance(value, torch.Generator):
            return {MARK: "generator", "state": value.get_state()}
        kind = type(value)
        name = {"module": kind.__module__, "class": kind.__qualname__}
        if isinstance(value, Enum) and kind.__module__.partition(".")[0] in self._packages:
            return {MARK: "enum", **name, "member": value.name}
        if self.is_own_object(value):
            return {MARK: "object", **name, "attributes": self._encode_dict(vars(value))}
        return _left_out(value)

    def _encode_dict(self, value: Mapping[Any, Any]) -> dict[Any, Any]:
        if MARK not in value and all(map(self._is_plain_key, value)):
            kind = OrderedDict if type(value) is OrderedDict else dict
            return kind((key, self.encode(each)) for key, each in value.items())
        return {MARK: "items", "items": [(self.encode(key), self.encode(each)) for key, each in value.items()]}

    def _is_plain_key(self, key: Any) -> bool:
        if type(key) is tuple:
            return all(map(self._is_plain_key, key))
        return type(key) in _PLAIN and not (type(key) is int and key in self._numbers)

    def decode(self, encoded: Any, own: Any = MISSING, path: str = "state") -> Any:
        """Return the value that was encoded.

        Args:
            encoded: The result of `encode`, loaded from a file.
            own: The value at the same place of the newly made optimizer; what was left out is taken from it.
            path: The place, for messages.

        Raises CheckpointError if a value was left out and the new optimizer has none.
        """
        if isinstance(encoded, Tensor):
            return encoded.to(own.device) if isinstance(own, Tensor) else encoded
        if isinstance(encoded, dict):
            if MARK in encoded:
                return self._decode_marked(encoded, own, path)
            items = ((key, self.decode(each, _item(own, key), f"{path}[{key!r}]")) for key, each in encoded.items())
            return type(encoded)(items)
        if type(encoded) in (list, tuple):
            return type(encoded)(self._decode_all(encoded, own, path))
        return encoded

    def _decode_all(self, items: Sequence[Any], own: Any, path: str) -> Iterable[Any]:
        owned = (
            list(own) if isinstance(own, (list, tuple, deque)) and len(own) == len(items) else [MISSING] * len(items)
        )
        return (
            self.decode(each, mine, f"{path}[{n}]") for n, (each, mine) in enumerate(zip(items, owned, strict=True))
        )

    def _decode_marked(self, encoded: Mapping[str, Any], own: Any, path: str) -> Any:
        match encoded[MARK]:
            case "parameter":
                return self._parameters[encoded["number"]]
            case "parameter's id":
                return id(self._parameters[encoded["number"]])
            case "items":
                decoded = ((self.decode(key), value) for key, value in encoded["items"])
                return {key: self.decode(value, _item(own, key), path) for key, value in decoded}
            case "deque":
                return deque(self._decode_all(encoded["items"], own, path), maxlen=encoded["maxlen"])
            case "set" | "frozenset" as name:
                return (set if name == "set" else frozenset)(self.decode(each) for each in encoded["items"])
            case "numpy":
                values = encoded["values"].cpu().numpy()
                return values[()] if encoded["scalar"] else values
            case "generator":
                generator = own if isinstance(own, torch.Generator) else torch.Generator()
                return generator.set_state(encoded["state"].cpu())
            case "enum":
                return self._class_of(encoded, Enum, path)[encoded["member"]]
            case "object":
                return self._decode_object(encoded, own, path)
        if own is MISSING:
            raise CheckpointError(
                f"the optimizer's {path} is of type {encoded.get('type')}, which cannot be stored, so that this run "
                "cannot be resumed. Start it again."
            )
        return own

    def _decode_object(self, encoded: Mapping[str, Any], own: Any, path: str) -> Any:
        kind = self._class_of(encoded, object, path)
        value = own if type(own) is kind else kind.__new__(kind)
        mine = dict(vars(value))
        for name, each in encoded["attributes"].items():
            vars(value)[name] = self.decode(each, mine.get(name, MISSING), f"{path}.{name}")
        return value

    def _class_of(self, encoded: Mapping[str, Any], base: type, path: str) -> Any:
        """Return the class of an encoded value; nothing is imported, and only the optimizer's packages are searched."""
        module, name = encoded["module"], encoded["class"]
        kind = getattr(sys.modules.get(module), name, None) if module.partition(".")[0] in self._packages else None
        if not (isinstance(kind, type) and issubclass(kind, base)):
            raise CheckpointError(
                f"the optimizer's {path} is of class {module}.{name}, which is not there: its package is of another "
                "version. Use that of the interrupted run."
            )
        return kind


def parameters_of(optimizers: Iterable[Optimizer]) -> list[Tensor]:
    """Return the parameters of several optimizers in order, each once."""
    found = {id(each): each for one in optimizers for group in one.param_groups for each in group["params"]}
    return list(found.values())


def _left_out(value: Any) -> dict[str, str]:
    return {MARK: LEFT_OUT, "type": f"{type(value).__module__}.{type(value).__qualname__}"}


def _item(own: Any, key: Any) -> Any:
    return own.get(key, MISSING) if isinstance(own, Mapping) else MISSING
