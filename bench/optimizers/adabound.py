"""AdaBound, AMSBound (Luo et al., ICLR 2019) and AdaBoundW, with the update rule of the `adabound` package.

For a weight w with gradient g at step t, where m and v are Adam's moments:

    s = lr * sqrt(1 - beta2^t) / (1 - beta1^t)
    final = final_lr * lr / base_lr
    w -= clip(s / (sqrt(v) + eps), final * (1 - 1 / (gamma*t + 1)), final * (1 + 1 / (gamma*t))) * m

AMSBound uses the running maximum of v. Both bounds converge to ``final``: the limit is SGD with momentum beta1. The
bounds and s are the same for all elements of a tensor, so the denominator is clipped instead of the quotient, which
saves a pass.

Weight decay is added to g (an L2 penalty), as in the package, or decoupled as in AdamW (Loshchilov and Hutter, ICLR
2019), which costs a pass: before the step above,

    w *= 1 - lr * weight_decay

The factor is the present lr, as in PyTorch's AdamW, and not a weight's clipped rate or ``final_lr``: it follows the
schedule and the group's rate, one weight decay means the same for AdaBoundW and AdamW, and at gamma = 0 AdaBoundW is
AdamW. `docs/guide/own-optimizer.md` compares these classes with the paper and the package.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

CHUNK_PER_THREAD = 2**19
"""Elements per thread of a chunk on a CPU: a chunk of all five tensors stays in the caches between the passes over it.

On `rtpose_vgg` chunks of 2^15 take 1.4 times as long; whole tensors take as long on an idle machine and up to 1.4 times
as long on a busy one."""

SMALL = 2**15
"""Elements up to which PyTorch uses one thread."""

Group = dict[str, Any]
State = dict[str, Tensor]


class AdaBound(Optimizer):
    """The AdaBound optimizer; with ``amsbound`` it is AMSBound, with ``decoupled_weight_decay`` AdaBoundW.

    Args:
        lr: step size of Adam, at the beginning. While it is 0 the moments are updated and the weights are not.
        final_lr: step size of SGD, at the end.
        gamma: speed at which the bounds converge; 0: never.
        weight_decay: L2 penalty, or the decoupled decay.
        scale_final_lr: multiply final_lr by lr / base_lr, so that it follows a schedule of lr (as the package does);
            False keeps it constant. base_lr is the lr with which a group was added. It is stored in the group, so that
            copies and state dicts have it. The final_lr of a group added with lr = 0 is not scaled.
        decoupled_weight_decay: multiply each weight by 1 - lr * weight_decay before its step, as AdamW does, instead of
            adding the L2 penalty's gradient, which would be averaged and divided by the root of the second moment.
        foreach: process all tensors at once (default on CUDA); otherwise one by one, on a CPU in chunks. The results
            are equal.

    Raises ValueError for values out of range, RuntimeError for sparse gradients and complex parameters.
    """

    _decouples: ClassVar[bool] = False
    """Whether weight decay is decoupled in a state that does not say so, as of the package and of earlier versions."""

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
        decoupled_weight_decay: bool = False,
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
            "decoupled_weight_decay": decoupled_weight_decay,
            "foreach": foreach,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: Group) -> None:
        """Add a parameter group, check its values as the constructor does, and store its lr as its base_lr."""
        _check({**self.defaults, **param_group})
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group.setdefault("base_lr", float(group["lr"]))

    def __setstate__(self, state: dict[str, Any]) -> None:
        previous = self.__dict__.get("param_groups", [])  # a copy that is being made has none
        super().__setstate__(state)
        self.defaults.setdefault("decoupled_weight_decay", self._decouples)  # an earlier version's pickle lacks it
        for number, group in enumerate(self.param_groups):  # a state saved by the package lacks these entries
            own = previous[number].get("base_lr") if number < len(previous) else None
            candidates = (group.get("initial_lr"), own, group["lr"])  # lr last: it may have been lowered by hand
            group.setdefault("base_lr", float(next(rate for rate in candidates if rate is not None)))
            group.setdefault("scale_final_lr", True)
            group.setdefault("decoupled_weight_decay", self._decouples)
            group.setdefault("foreach", None)
            group.setdefault("maximize", False)
            for weight in group["params"]:
                if weight in self.state and "step" in self.state[weight]:
                    self.state[weight]["step"] = _counter(float(self.state[weight]["step"]))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; a ``closure``, which recomputes loss and gradients, is called first. Return its loss."""
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
            _step_group(list(zip(weights, states, strict=True)), group, at_once=_uses_foreach(weights, group))
        return loss

    def implementation(self) -> str:
        """Return how a step is computed: "foreach", "chunks" or "for-loop" (one tensor after the other)."""
        if any(_uses_foreach(group["params"], group) for group in self.param_groups):
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
    """AdaBound with ``amsbound``: it divides by the running maximum of the second moment."""

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
        decoupled_weight_decay: bool = False,
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
            decoupled_weight_decay=decoupled_weight_decay,
            foreach=foreach,
            maximize=maximize,
        )


class AdaBoundW(AdaBound):
    """AdaBound with decoupled weight decay: each step begins with w *= 1 - lr * weight_decay.

    The default decay is 0, as of the package's optimizers and unlike AdamW's.
    """

    _decouples = True

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
        super().__init__(
            params,
            lr,
            betas,
            final_lr,
            gamma,
            eps,
            weight_decay,
            amsbound,
            scale_final_lr=scale_final_lr,
            decoupled_weight_decay=True,
            foreach=foreach,
            maximize=maximize,
        )


def _counter(steps: float) -> Tensor:
    """Return a step counter on the CPU, wherever a checkpoint was loaded to: each step reads it."""
    return torch.tensor(steps, dtype=torch.float32, device="cpu")


def _moments(group: Group) -> tuple[str, ...]:
    """Return the names of the moments that a group's steps use; its state may also hold others, from earlier steps."""
    return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsbound"] else ("exp_avg", "exp_avg_sq")


def _uses_foreach(weights: list[Tensor], group: Group) -> bool:
    return all(weight.is_cuda for weight in weights) if group["foreach"] is None else group["foreach"]


class _Scale(NamedTuple):
    """Numbers that a step uses for all elements of a tensor: s of the module's rule, and limits of the denominator."""

    size: float
    least: float
    most: float


def _kept_share(group: Group) -> float:
    """Return the factor of a group's weights before a step: under 1 if weight decay is decoupled."""
    return 1 - float(group["lr"]) * group["weight_decay"] if group["decoupled_weight_decay"] else 1.0


def _penalty(group: Group) -> float:
    """Return the factor of the weights that are added to their gradients: the weight decay unless it is decoupled."""
    return 0.0 if group["decoupled_weight_decay"] else group["weight_decay"]


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
    # No denominator may be 0, even in a dtype in which eps and these limits round to 0: `most`, which wins if both are
    # tiny, is at least the smallest positive number.
    return _Scale(size, max(least, numbers.tiny), max(most, numbers.tiny * numbers.eps))


def _step_group(pairs: list[tuple[Tensor, State]], group: Group, *, at_once: bool) -> None:
    """Update all weights of a group; small ones on a CPU together, as separate calls would take longer."""
    scale_of = cache(partial(_scale, group))
    together: list[tuple[Tensor, State]] = []
    separate: list[tuple[Tensor, State]] = []
    for pair in pairs:
        small = pair[0].numel() <= SMALL and pair[0].device.type == "cpu"
        (together if at_once or small else separate).append(pair)
    if together:
        _step_together(together, [scale_of(state["step"].item(), weight.dtype) for weight, state in together], group)
    for weight, state in separate:
        scale = scale_of(state["step"].item(), weight.dtype)
        assert weight.grad is not None
        for tensors in _pieces([weight, weight.grad, *(state[name] for name in _moments(group))]):
            _step_piece(*tensors, scale=scale, group=group)


def _step_together(pairs: list[tuple[Tensor, State]], scales: list[_Scale], group: Group) -> None:
    """Update several tensors; each pass runs over all of them."""
    beta1, beta2 = group["betas"]
    weights = [weight for weight, _ in pairs]
    grads: list[Tensor] | tuple[Tensor, ...] = [weight.grad for weight in weights if weight.grad is not None]
    means, squares = ([state[name] for _, state in pairs] for name in ("exp_avg", "exp_avg_sq"))
    if group["maximize"]:
        grads = torch._foreach_neg(grads)
    if (penalty := _penalty(group)) != 0:
        grads = torch._foreach_add(grads, weights, alpha=penalty)
    if (kept := _kept_share(group)) != 1:
        torch._foreach_mul_(weights, kept)
    torch._foreach_lerp_(means, grads, 1 - beta1)
    torch._foreach_mul_(squares, beta2)
    torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
    if group["amsbound"]:
        largest_squares = [state["max_exp_avg_sq"] for _, state in pairs]
        torch._foreach_maximum_(largest_squares, squares)
        squares = largest_squares
    if group["lr"] == 0:
        return
    denominators = torch._foreach_sqrt(squares)
    torch._foreach_add_(denominators, group["eps"])
    torch._foreach_clamp_min_(denominators, [scale.least for scale in scales])
    torch._foreach_clamp_max_(denominators, [scale.most for scale in scales])
    torch._foreach_addcdiv_(weights, means, denominators, [-scale.size for scale in scales])


def _step_piece(
    weight: Tensor, grad: Tensor, mean: Tensor, square: Tensor, *largest_square: Tensor, scale: _Scale, group: Group
) -> None:
    """Update one tensor or a chunk of one, with the same passes as `_step_together`."""
    beta1, beta2 = group["betas"]
    if group["maximize"]:
        grad = grad.neg()
    if (penalty := _penalty(group)) != 0:
        grad = grad.add(weight, alpha=penalty)
    if (kept := _kept_share(group)) != 1:
        weight.mul_(kept)
    mean.lerp_(grad, 1 - beta1)
    square.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    for largest in largest_square:
        square = torch.maximum(largest, square, out=largest)
    if group["lr"] == 0:
        return
    denominator = square.sqrt().add_(group["eps"]).clamp_(scale.least, scale.most)
    weight.addcdiv_(mean, denominator, value=-scale.size)


def _pieces(tensors: list[Tensor]) -> Iterator[tuple[Tensor, ...]]:
    """Split tensors of one shape into flat chunks if all are dense in the same order of memory (channels_last, say)."""
    first, chunk = tensors[0], CHUNK_PER_THREAD * torch.get_num_threads()
    if first.device.type == "cpu" and first.numel() > chunk:
        order = sorted(range(first.dim()), key=first.stride, reverse=True)
        ordered = [tensor.permute(order) for tensor in tensors]
        if all(tensor.is_contiguous() for tensor in ordered):
            return zip(*(tensor.view(-1).split(chunk) for tensor in ordered), strict=True)
    return iter([tuple(tensors)])


def _check(group: Group) -> None:
    beta1, beta2 = group["betas"]
    for valid, description in (
        (group["lr"] >= 0, f"learning rate: {group['lr']}"),
        (0 <= beta1 < 1, f"beta parameter at index 0: {beta1}"),
        (0 <= beta2 < 1, f"beta parameter at index 1: {beta2}"),
        (group["final_lr"] >= 0, f"final_lr value: {group['final_lr']}"),
        (0 <= group["gamma"] < 1, f"gamma value: {group['gamma']}"),
        (group["eps"] >= 0, f"epsilon value: {group['eps']}"),
        (group["weight_decay"] >= 0, f"weight_decay value: {group['weight_decay']}"),
    ):
        if not valid:
            raise ValueError(f"Invalid {description}")
