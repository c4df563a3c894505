"""AdaBound and AMSBound (Luo et al., ICLR 2019) as PyTorch's own optimizers are made, by the `adabound` package's rule.

For a weight w with gradient g, at its step t (moments m and v as Adam's):

    s = lr * sqrt(1 - beta2^t) / (1 - beta1^t)
    final = final_lr * lr / base_lr
    w -= clip(s / (sqrt(v) + eps), final * (1 - 1 / (gamma*t + 1)), final * (1 + 1 / (gamma*t))) * m

AMSBound takes the largest v so far. The bounds close in on ``final``: the limit is SGD with momentum beta1. Both bounds
and s are the same for all elements, so the denominator is clipped instead of the quotient: one pass less.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

CHUNK_PER_THREAD = 2**19
"""Elements of a tensor that each thread takes at a time on a CPU: a chunk of all five tensors then stays in the caches
between the passes over it (on `rtpose_vgg`, chunks of 2^15 take 1.4 times as long; whole tensors as long on an idle
machine, up to 1.4 times as long on a busy one)."""

SMALL = 2**15
"""Elements up to which PyTorch takes no second thread."""

Group = dict[str, Any]
State = dict[str, Tensor]


class AdaBound(Optimizer):
    """AdaBound; with ``amsbound`` AMSBound.

    lr and final_lr are step sizes of Adam and of SGD, gamma is the speed at which the bounds close (0: never);
    weight_decay is an L2 penalty. While lr is 0 the moments go on and no weight moves.

    ``scale_final_lr``: as in the package, final_lr follows what a schedule does to lr, by lr / base_lr; False keeps it
    constant. base_lr is the lr with which a group was added; it is kept in the group, so that copies and state dicts
    have it. A group that was added with lr = 0 has no such scale: its final_lr stays as it is.

    ``foreach``: all tensors at once (default: on CUDA); otherwise one by one, on a CPU in chunks. Both give the same.
    Raises ValueError for values out of range, RuntimeError for sparse gradients and complex parameters.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsbound: bool = False,
        *,
        scale_final_lr: bool = True,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "final_lr": final_lr,
            "gamma": gamma,
            "eps": eps,
            "weight_decay": weight_decay,
            "amsbound": amsbound,
            "scale_final_lr": scale_final_lr,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add a group; its own values are checked as the constructor's are, and its lr is its base_lr."""
        _check({**self.defaults, **param_group})
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group.setdefault("base_lr", float(group["lr"]))

    def __setstate__(self, state: dict[str, Any]) -> None:
        before = self.__dict__.get("param_groups", [])  # none in a copy that is being made
        super().__setstate__(state)
        for number, group in enumerate(self.param_groups):  # as saved by the package, which has none of these
            own = before[number].get("base_lr") if number < len(before) else None
            known = (group.get("initial_lr"), own, group["lr"])  # a lr that was lowered by hand is the last to go by
            group.setdefault("base_lr", float(next(rate for rate in known if rate is not None)))
            group.setdefault("scale_final_lr", True)
            group.setdefault("foreach", None)
            group.setdefault("maximize", False)
            for weight in group["params"]:
                if weight in self.state and "step" in self.state[weight]:
                    self.state[weight]["step"] = _counter(float(self.state[weight]["step"]))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step; ``closure`` computes the loss (and gradients) anew and its result is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if not weights:
                continue
            states = [self._state_of(weight, group) for weight in weights]
            torch._foreach_add_([state["step"] for state in states], 1)
            _step_group(list(zip(weights, states, strict=True)), group, at_once=_takes_all(weights, group))
        return loss

    def implementation(self) -> str:
        """How a step is computed: "foreach", "chunks" or "for-loop" (one tensor after the other)."""
        if any(_takes_all(group["params"], group) for group in self.param_groups):
            return "foreach"
        on_cpu = all(weight.device.type == "cpu" for group in self.param_groups for weight in group["params"])
        return "chunks" if on_cpu else "for-loop"

    def _state_of(self, weight: Tensor, group: Group) -> State:
        assert weight.grad is not None
        if weight.grad.is_sparse:
            raise RuntimeError(f"{type(self).__name__} does not support sparse gradients")
        if weight.is_complex():
            raise RuntimeError(f"{type(self).__name__} does not support complex parameters")
        state: State = self.state[weight]
        if not state:
            state["step"] = _counter(0.0)
        for name in _moments(group):
            if name not in state:  # `amsbound` can be switched on later
                state[name] = torch.zeros_like(weight, memory_format=torch.preserve_format)
        return state


class AMSBound(AdaBound):
    """AdaBound with ``amsbound``: the largest second moment so far is the one that counts."""

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 1e-3,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        scale_final_lr: bool = True,
        foreach: bool | None = None,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            final_lr,
            gamma,
            eps,
            weight_decay,
            amsbound=True,
            scale_final_lr=scale_final_lr,
            foreach=foreach,
            maximize=maximize,
        )


def _counter(steps: float) -> Tensor:
    """Steps so far, on the CPU, whatever a checkpoint was loaded to: each step reads it."""
    return torch.tensor(steps, dtype=torch.float32, device="cpu")


def _moments(group: Group) -> tuple[str, ...]:
    """Names of the moments that a group's steps go by; others may be kept from steps before."""
    return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsbound"] else ("exp_avg", "exp_avg_sq")


def _takes_all(weights: list[Tensor], group: Group) -> bool:
    return all(weight.is_cuda for weight in weights) if group["foreach"] is None else group["foreach"]


class _Scale(NamedTuple):
    """What a step is for all elements of a tensor: s of the module's rule, and the ends of its denominator."""

    size: float
    least: float
    most: float


def _scale(group: Group, step: float, dtype: torch.dtype) -> _Scale:
    lr, (beta1, beta2), time = float(group["lr"]), group["betas"], group["gamma"] * step
    size = lr * math.sqrt(1 - beta2**step) / (1 - beta1**step)
    final = group["final_lr"]
    if group["scale_final_lr"] and group["base_lr"] > 0:
        final *= lr / group["base_lr"]
    upper = final * (1 + 1 / time) if time > 0 else math.inf
    lower = final * (1 - 1 / (time + 1))
    numbers = torch.finfo(dtype)
    least, most = (size / bound if bound * numbers.max > size else math.inf for bound in (upper, lower))
    # No denominator may be 0, in a dtype in which eps and these ends are; `most`, the lesser where both are small,
    # holds down to the smallest number that is not 0.
    return _Scale(size, max(least, numbers.tiny), max(most, numbers.tiny * numbers.eps))


def _step_group(pairs: list[tuple[Tensor, State]], group: Group, *, at_once: bool) -> None:
    """Move all weights of a group: small ones of a CPU together too, as calls would take longer than the work."""
    scale_of = cache(partial(_scale, group))
    together: list[tuple[Tensor, State]] = []
    alone: list[tuple[Tensor, State]] = []
    for pair in pairs:
        small = pair[0].numel() <= SMALL and pair[0].device.type == "cpu"
        (together if at_once or small else alone).append(pair)
    if together:
        _step_together(together, [scale_of(state["step"].item(), weight.dtype) for weight, state in together], group)
    for weight, state in alone:
        scale = scale_of(state["step"].item(), weight.dtype)
        assert weight.grad is not None
        for tensors in _pieces([weight, weight.grad, *(state[name] for name in _moments(group))]):
            _step_piece(*tensors, scale=scale, group=group)


def _step_together(pairs: list[tuple[Tensor, State]], scales: list[_Scale], group: Group) -> None:
    """The step of several tensors, each pass over all of them."""
    beta1, beta2 = group["betas"]
    weights = [weight for weight, _ in pairs]
    grads: list[Tensor] | tuple[Tensor, ...] = [weight.grad for weight in weights if weight.grad is not None]
    means, squares = ([state[name] for _, state in pairs] for name in ("exp_avg", "exp_avg_sq"))
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    if group["weight_decay"] != 0:
        grads = torch._foreach_add(grads, weights, alpha=group["weight_decay"])
    torch._foreach_lerp_(means, grads, 1 - beta1)
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
    if group["amsbound"]:
        greatest = [state["max_exp_avg_sq"] for _, state in pairs]
        torch._foreach_maximum_(greatest, squares)
        squares = greatest
    if group["lr"] == 0:
        return
    denominators = torch._foreach_sqrt(squares)
    torch._foreach_add_(denominators, group["eps"])
    torch._foreach_clamp_min_(denominators, [scale.least for scale in scales])
    torch._foreach_clamp_max_(denominators, [scale.most for scale in scales])
    torch._foreach_addcdiv_(weights, means, denominators, [-scale.size for scale in scales])


def _step_piece(
    weight: Tensor, grad: Tensor, mean: Tensor, square: Tensor, *greatest: Tensor, scale: _Scale, group: Group
) -> None:
    """The same passes over one tensor, or over a chunk of one."""
    beta1, beta2 = group["betas"]
    if group["maximize"]:
        grad = grad.neg()
    if group["weight_decay"] != 0:
        grad = grad.add(weight, alpha=group["weight_decay"])
    mean.lerp_(grad, 1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    for largest in greatest:
        square = torch.maximum(largest, square, out=largest)
    if group["lr"] == 0:
        return
    denominator = square.sqrt().add_(group["eps"]).clamp_(scale.least, scale.most)
    weight.addcdiv_(mean, denominator, value=-scale.size)


def _pieces(tensors: list[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Tensors of one shape in chunks, as flat views, where they lie in memory in one order (channels_last, say)."""
    first, chunk = tensors[0], CHUNK_PER_THREAD * torch.get_num_threads()
    if first.device.type == "cpu" and first.numel() > chunk:
        order = sorted(range(first.dim()), key=first.stride, reverse=True)
        ordered = [tensor.permute(order) for tensor in tensors]
        if all(tensor.is_contiguous() for tensor in ordered):
            return zip(*(tensor.view(-1).split(chunk) for tensor in ordered), strict=True)
    return iter([tuple(tensors)])


def _check(group: Group) -> None:
    beta1, beta2 = group["betas"]
    for valid, words in (
        (group["lr"] >= 0, f"learning rate: {group['lr']}"),
        (0 <= beta1 < 1, f"beta parameter at index 0: {beta1}"),
        (0 <= beta2 < 1, f"beta parameter at index 1: {beta2}"),
        (group["final_lr"] >= 0, f"final_lr value: {group['final_lr']}"),
        (0 <= group["gamma"] < 1, f"gamma value: {group['gamma']}"),
        (group["eps"] >= 0, f"epsilon value: {group['eps']}"),
        (group["weight_decay"] >= 0, f"weight_decay value: {group['weight_decay']}"),
    ):
        if not valid:
            raise ValueError(f"Invalid {words}")
