"""Small optimizers, one for each way in which a loop must drive them, with steps that can be computed by hand."""

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Closure = Callable[[], Tensor]


def parameters_of(optimizer: Optimizer) -> list[Tensor]:
    return [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]


class ClosureDescent(Optimizer):
    """w - lr g, with the gradient of the closure; without one it takes no step."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.add_(weight.grad, alpha=-group["lr"])
        return loss


class Sam(Optimizer):
    """Sharpness-aware minimisation (Foret et al., ICLR 2021): a step of `base` with the gradient at w + rho g / |g|."""

    def __init__(self, params: Iterable[Tensor], lr: float, rho: float = 0.05, momentum: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "rho": rho})
        self.base = torch.optim.SGD(self.param_groups, lr=lr, momentum=momentum)
        self.param_groups = self.base.param_groups

    @torch.no_grad()
    def first_step(self) -> None:
        norm = torch.stack([each.grad.norm() for each in parameters_of(self)]).norm()
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self.state[weight]["old"] = weight.clone()
                    weight.add_(weight.grad * (group["rho"] / norm))

    @torch.no_grad()
    def second_step(self) -> None:
        for weight in parameters_of(self):
            weight.copy_(self.state[weight]["old"])
        self.base.step()

    def step(self, closure: Closure) -> None:  # type: ignore[override]
        self.first_step()
        closure()
        self.second_step()


class Hutchinson(Optimizer):
    """w - lr g / (1 + |z H z|), with a random z of signs: on a sum of a w^2 / 2 that is w - lr a w / (1 + a)."""

    is_second_order = True

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def step(self, closure: Closure | None = None) -> None:  # type: ignore[override]
        weights = parameters_of(self)
        signs = [torch.randint_like(each, 0, 2) * 2 - 1 for each in weights]
        products = torch.autograd.grad([each.grad for each in weights], weights, grad_outputs=signs)
        lr = self.param_groups[0]["lr"]
        with torch.no_grad():
            for weight, sign, product in zip(weights, signs, products, strict=True):
                weight.sub_(lr * weight.grad / (1 + (sign * product).abs()))


class Averaging(torch.optim.Adam):
    """Adam, judged by a moving average: `eval()` adds the difference to the weights, `train()` takes it off again.

    Both round, so that the weights after the two are not exactly those before.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, keep: float = 0.8) -> None:
        super().__init__(params, lr=lr)
        self.keep, self.training = keep, False

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        assert self.training
        done = super().step(closure)
        for weight in parameters_of(self):
            mean = self.state[weight].setdefault("mean", weight.clone())
            mean.lerp_(weight, 1 - self.keep)
        return done

    def train(self) -> None:
        self._to(training=True)

    def eval(self) -> None:
        self._to(training=False)

    @torch.no_grad()
    def _to(self, *, training: bool) -> None:
        if training == self.training:
            return
        self.training = training
        for weight, state in self.state.items():
            if not training:
                state["difference"] = state["mean"] - weight
            weight.add_(state["difference"], alpha=-1 if training else 1)


class Interpolating(Optimizer):
    """Schedule-free SGD (Defazio et al., NeurIPS 2024) without modes: its closure is called between z and their mean x.

    Between steps the network has x.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, beta: float = 0.5) -> None:
        super().__init__(params, {"lr": lr, "beta": beta, "count": 0})

    @torch.no_grad()
    def step(self, closure: Closure) -> Tensor:  # type: ignore[override]
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                state.setdefault("z", weight.clone())
                state["x"] = weight.clone()
                weight.lerp_(state["z"], 1 - group["beta"])
        loss = closure()
        for group in self.param_groups:
            group["count"] += 1
            for weight in group["params"]:
                state = self.state[weight]
                if weight.grad is not None:
                    state["z"].sub_(weight.grad, alpha=group["lr"])
                weight.copy_(state.pop("x").lerp_(state["z"], 1 / group["count"]))
        return loss


class Rateless(Optimizer):
    """w - 0.01 g: without a learning rate."""

    def __init__(self, params: Iterable[Tensor], lr: None = None) -> None:
        super().__init__(params, {} if lr is None else {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for weight in parameters_of(self):
            weight.add_(weight.grad, alpha=-0.01)


class Direction(Enum):
    """A member of an enumeration, as some groups hold."""

    DOWN = -1


class Memory:
    """An object with tensors, as some states hold."""

    def __init__(self, weight: Tensor) -> None:
        self.mean = torch.zeros_like(weight)


class Hoarder(Optimizer):
    """Steps by the mean of the last three gradients; keeps everything where PyTorch's methods would lose it."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(
            params, {"lr": lr, "scale": lambda value: 2 * value, "direction": Direction.DOWN, "none": None}
        )
        self.steps = 0
        self.last: dict[int, Tensor] = {}
        """By the identity of the parameter."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.steps += 1
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                state.setdefault("gradients", deque(maxlen=3)).append(weight.grad.clone())
                state.setdefault("memory", Memory(weight)).mean.lerp_(weight.grad, 0.5)
                state.setdefault("nested", {"signs": (weight.grad > 0, "a text", None)})
                state["nested"]["signs"] = (weight.grad > 0, "a text", None)
                last = self.last.setdefault(id(weight), torch.zeros_like(weight))
                mean = torch.stack([*state["gradients"]]).mean(0) + state["memory"].mean + last * self.steps
                assert state["nested"]["signs"][0].dtype == torch.bool
                assert state["nested"]["signs"][1:] == ("a text", None)
                weight.add_(mean, alpha=group["direction"].value * group["scale"](group["lr"]))
                last.copy_(weight.grad)


class Wrapper(Optimizer):
    """Another optimizer's step, and every second one taken half back; it shares the other's containers."""

    def __init__(self, base: Optimizer) -> None:
        self.base, self.taken = base, 0
        self.defaults, self.state, self.param_groups = base.defaults, base.state, base.param_groups
        self._optimizer_step_pre_hooks: dict[int, Any] = {}
        self._optimizer_step_post_hooks: dict[int, Any] = {}
        self.slow = {each: each.detach().clone() for group in base.param_groups for each in group["params"]}

    def state_dict(self) -> dict[str, Any]:
        return {"base": self.base.state_dict(), "slow": self.slow}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.base.load_state_dict(state_dict["base"])
        self.slow = dict(state_dict["slow"])

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.base.step()
        self.taken += 1
        for weight, slow in self.slow.items():
            if self.taken % 2 == 0:
                weight.lerp_(slow, 0.5)
                slow.copy_(weight)


class Ahead:
    """Lookahead (Zhang et al., NeurIPS 2019): every k-th step goes half back. It only acts like PyTorch's class.

    Its state dict is that of the other optimizer; its count and the slow weights are its own.
    """

    def __init__(self, optimizer: Optimizer, k: int = 5) -> None:
        self.optimizer, self.k, self.taken = optimizer, k, 0
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def zero_grad(self, set_to_none: bool = True) -> None:
        self.optimizer.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        return self.optimizer.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state_dict)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        weights = [each for group in self.param_groups for each in group["params"]]
        for weight in weights:
            self.state.setdefault(weight, {"slow": weight.clone()})
        self.optimizer.step()
        self.taken += 1
        if self.taken % self.k == 0:
            for weight in weights:
                self.state[weight]["slow"].lerp_(weight, 0.5)
                weight.copy_(self.state[weight]["slow"])


class Forgetful(torch.optim.SGD):
    """Each k-th step is twice as long; the count is where no state can have it."""

    def __init__(self, params: Iterable[Tensor], lr: float, k: int = 5) -> None:
        super().__init__(params, lr=lr)
        self.k, self.number = k, count(1).__next__

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for _ in range(2 if self.number() % self.k == 0 else 1):
            done = super().step(closure)
        return done
