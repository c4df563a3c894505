"""Optimizers that are made of others: objects that only act like one, views of weights, one for matrices with one for
the rest."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from posemodel.training.optimizer_maker import Training, has_modes

Groups = list[dict[str, Any]]
MODES = ("train", "eval")


class Joined(Optimizer):
    """Several optimizers as one: its groups and its state are theirs, and a step is a step of each.

    A part may be any object with the methods of an optimizer. There are `train()` and `eval()` if a part has them.
    """

    def __init__(self, parts: Sequence[Any], inside: Sequence[Any] = ()) -> None:
        """Join ``parts``, which train different weights; ``inside`` are optimizers in them that may have modes."""
        self.parts, self._inside = list(parts), list(inside)
        super().__init__([weight for group in self.param_groups for weight in group["params"]], {})
        self.defaults = {name: value for part in self.parts for name, value in getattr(part, "defaults", {}).items()}

    def __getattr__(self, name: str) -> Any:
        """Find `train` and `eval` where a part has them."""
        own = (*self.__dict__.get("parts", ()), *self.__dict__.get("_inside", ())) if name in MODES else ()
        with_modes = [each for each in own if has_modes(each)]
        if not with_modes:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

        def switch() -> None:
            for part in with_modes:
                getattr(part, name)()
            self._share()

        return switch

    @property
    def param_groups(self) -> Groups:
        """The groups of all parts."""
        return [group for part in self.parts for group in part.param_groups]

    @param_groups.setter
    def param_groups(self, groups: Groups) -> None:
        """Accept what the base class assigns; the parts hold the groups."""

    @property
    def state(self) -> defaultdict[Tensor, Any]:
        """The state of all parts."""
        return defaultdict(dict, {weight: state for part in self.parts for weight, state in part.state.items()})

    @state.setter
    def state(self, state: defaultdict[Tensor, Any]) -> None:
        """Accept what the base class assigns; the parts hold the state."""

    def _share(self) -> None:
        """Bring what the parts have changed to the network's weights; they are the parts' own here."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Accept what the base class adds; the parts hold the groups."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of all parts."""
        for part in self.parts:
            part.zero_grad(set_to_none=set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step of each part; a closure is given to the only part."""
        if closure is not None and len(self.parts) > 1:
            raise RuntimeError("several optimizers cannot share a closure: each would take its own step within it")
        losses = [part.step() if closure is None else part.step(closure) for part in self.parts]
        return losses[0]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each part."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore the state of each part."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)


class OnViews(Joined):
    """Optimizers of views: each view is a weight in another shape, whose gradient it gets before a step.

    What changes a view changes the network. Their columns are in the order of memory, which differs from the weight's
    own in networks that are `channels_last`; optimizers treat the axes after the first alike.
    """

    def __init__(self, views: Sequence[tuple[Parameter, Parameter, bool]], parts: Sequence[Any]) -> None:
        """Drive ``parts``; ``views`` are (view, weight, whether the view is a matrix)."""
        listed = tuple(views)
        # A function is no state: an optimizer that is resumed keeps its own views.
        self._views: Callable[[], tuple[tuple[Parameter, Parameter, bool], ...]] = lambda: listed
        super().__init__(parts)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step of each part; see `Joined.step`."""
        self._pass_gradients()

        def evaluate() -> Any:
            assert closure is not None
            self._share()
            loss = closure()
            self._pass_gradients()
            return loss

        loss = super().step(None if closure is None else evaluate)
        self._share()
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients of weights and views."""
        super().zero_grad(set_to_none=set_to_none)
        for _, weight, _ in self._views():
            if set_to_none:
                weight.grad = None
            elif weight.grad is not None:
                weight.grad.zero_()

    @torch.no_grad()
    def _share(self) -> None:
        """Write views in memory of their own back: some optimizers assign `p.data` instead of changing it."""
        for view, weight, matrix in self._views():
            if view.data_ptr() != weight.data_ptr():
                shared = _in_memory_order(weight.detach(), weight, matrix=matrix)
                shared.copy_(view)
                view.data = shared

    def _pass_gradients(self) -> None:
        for view, weight, matrix in self._views():
            view.grad = None if weight.grad is None else _in_memory_order(weight.grad, weight, matrix=matrix)


def on_views(build: Callable[..., Optimizer], *, matrices: bool = False) -> Callable[..., Optimizer]:
    """Return a factory that gives an optimizer the weights in the order in which they lie in memory.

    Optimizers that flatten weights with `view` need this in networks that are `channels_last`. With ``matrices``
    weights of more dimensions are given as matrices (outputs x the rest). ``build`` gets the training and any keywords.
    """

    def made(training: Training, **arguments: Any) -> Optimizer:
        views: list[tuple[Parameter, Parameter, bool]] = []
        groups = [
            {**group, "params": [_view(each, views, matrix=matrices and each.ndim > 1) for each in group["params"]]}
            for group in as_groups(training.parameters)
        ]
        plain = groups[0]["params"] if len(groups) == 1 and len(groups[0]) == 1 else groups
        return OnViews(views, [build(replace(training, parameters=plain), **arguments)])

    return made


def by_shape(
    groups: Iterable[Mapping[str, Any]],
    make_first: Callable[[Groups], Optimizer],
    make_rest: Callable[[Groups], Optimizer],
) -> OnViews:
    """Make one optimizer for weights of two and more dimensions, as matrices (outputs x the rest), one for the others.

    Each is made from groups, which keep their options.
    """
    views: list[tuple[Parameter, Parameter, bool]] = []
    matrices, others = [], []
    for group in groups:
        weights = list(group["params"])
        many = [_view(weight, views, matrix=True) for weight in weights if weight.ndim > 1]
        few = [weight for weight in weights if weight.ndim <= 1]
        matrices += [{**group, "params": many}] if many else []
        others += [{**group, "params": few}] if few else []
    parts = [*([make_first(matrices)] if matrices else []), *([make_rest(others)] if others else [])]
    return OnViews(views, parts)


def _view(weight: Parameter, views: list[tuple[Parameter, Parameter, bool]], *, matrix: bool) -> Parameter:
    """Return a weight in the order of memory, as a view that is added to ``views``; itself if it is so already."""
    as_stored = weight.stride() == torch.empty(weight.shape, device="meta").stride()  # stricter than `is_contiguous`
    if as_stored and (weight.ndim <= 2 or not matrix):
        return weight
    view = Parameter(_in_memory_order(weight.detach(), weight, matrix=matrix), requires_grad=weight.requires_grad)
    if view.data_ptr() != weight.data_ptr():
        raise RuntimeError(f"a weight of shape {tuple(weight.shape)} has no view in the order of memory")
    views.append((view, weight, matrix))
    return view


def _in_memory_order(tensor: Tensor, weight: Tensor, *, matrix: bool) -> Tensor:
    """Return a tensor with the axes after the first in the order in which those of ``weight`` lie in memory."""
    axes = [0, *sorted(range(1, weight.ndim), key=weight.stride, reverse=True)]
    ordered = tensor.permute(axes)
    return ordered.reshape(len(weight), -1) if matrix else ordered.contiguous()


def with_flag(groups: Iterable[Mapping[str, Any]], flag: str) -> Groups:
    """Divide each group in two: ``flag`` is True for weights of two and more dimensions, False for the others."""
    divided = []
    for group in groups:
        weights = list(group["params"])
        for value in (True, False):
            chosen = [weight for weight in weights if (weight.ndim > 1) == value]
            if chosen:
                divided.append({**group, "params": chosen, flag: value})
    return divided


def as_groups(parameters: Iterable[Any]) -> Groups:
    """Return parameters, plain or in groups, as groups."""
    listed = list(parameters)
    return [dict(each) for each in listed] if listed and isinstance(listed[0], Mapping) else [{"params": listed}]
