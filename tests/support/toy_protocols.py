"""One small optimizer for each convention of the field, by its dotted path; all of them descend along the gradient."""

from collections import Counter

import torch
from torch.optim import SGD, Optimizer

HERE = "tests.support.toy_protocols"


class Twice(Optimizer):
    """Two steps of gradient descent at once: `step(closure)` calls the closure for each, the first gradients too."""

    def __init__(self, params, lr=0.1, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    def step(self, closure):
        """Call the closure twice, and move after each call."""
        for _ in range(2):
            loss = closure()
            with torch.no_grad():
                for group in self.param_groups:
                    for weight in group["params"]:
                        if weight.grad is not None:
                            self.state[weight]["count"] = self.state[weight].get("count", 0) + 1
                            weight.sub_(weight.grad, alpha=group["lr"])
        return loss


class MySAM(SGD):
    """Sharpness-aware minimisation (Foret et al., ICLR 2021): the gradient is that of weights a bit uphill."""

    def __init__(self, params, lr=0.1, momentum=0.9, weight_decay=0.0, rho=0.05):
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)
        self.rho = rho

    def first_step(self):
        """Climb."""
        weights = [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        norm = torch.stack([weight.grad.norm() for weight in weights]).norm()
        with torch.no_grad():
            for weight in weights:
                self.state[weight]["before"] = weight.clone()
                weight.add_(weight.grad * (self.rho / (norm + 1e-12)))

    def second_step(self):
        """Come back, and descend by the gradient of up there."""
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        weight.copy_(self.state[weight].pop("before"))
        super().step()

    def step(self, closure=None):
        """Gradients first, then this, which asks for those of up there."""
        self.first_step()
        closure()
        self.second_step()


class Curved(Optimizer):
    """Steps divided by the diagonal of the Hessian, estimated with random signs (Yao et al., AAAI 2021)."""

    is_second_order = True

    def __init__(self, params, lr=0.1, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    def step(self, closure=None):
        """Multiply the Hessian with one random vector."""
        weights = [weight for group in self.param_groups for weight in group["params"] if weight.grad is not None]
        signs = [torch.randint_like(weight, 0, 2) * 2 - 1 for weight in weights]
        products = torch.autograd.grad([weight.grad for weight in weights], weights, grad_outputs=signs)
        with torch.no_grad():
            for group in self.param_groups:
                own = [each for each in zip(weights, signs, products, strict=True) if in_group(each[0], group)]
                for weight, sign, product in own:
                    mean = self.state[weight].setdefault("hessian", torch.zeros_like(weight))
                    mean.lerp_((sign * product).abs(), 0.5)
                    weight.sub_(group["lr"] * weight.grad.detach() / (1 + mean))


def in_group(weight, group):
    return any(weight is each for each in group["params"])


class Averaged(Optimizer):
    """Schedule-free SGD (Defazio et al., NeurIPS 2024) without its interpolation: judged by the mean of all weights.

    In training mode the network has the sequence z, in evaluation mode its mean x.
    """

    def __init__(self, params, lr=0.1, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "train_mode": True})

    def train(self):
        """Show z."""
        self._show("z", train_mode=True)

    def eval(self):
        """Show x."""
        self._show("x", train_mode=False)

    def _show(self, name, *, train_mode):
        with torch.no_grad():
            for group in self.param_groups:
                if group["train_mode"] != train_mode:
                    for weight in group["params"]:
                        if name in self.state[weight]:
                            weight.copy_(self.state[weight][name])
                group["train_mode"] = train_mode

    def step(self, closure=None):
        """Descend with z, and average."""
        with torch.no_grad():
            for group in self.param_groups:
                assert group["train_mode"], "optimizer was not in train mode when step is called"
                for weight in group["params"]:
                    if weight.grad is None:
                        continue
                    state = self.state[weight]
                    weight.sub_(weight.grad, alpha=group["lr"])
                    state["z"] = weight.clone()
                    state["count"] = state.get("count", 0) + 1
                    state.setdefault("x", weight.clone()).lerp_(weight, 1 / state["count"])


class ByModule(SGD):
    """Wants the network, and makes a group of each of its modules."""

    def __init__(self, model, lr=0.1, weight_decay=0.0):
        modules = [module for module in model.modules() if list(module.parameters(recurse=False))]
        super().__init__([{"params": [*module.parameters(recurse=False)]} for module in modules], lr=lr)


class WithoutRate(Optimizer):
    """A step of one length, without a learning rate; it keeps its number of steps in an attribute."""

    def __init__(self, params, weight_decay=0.0):
        super().__init__(params, {"weight_decay": weight_decay})
        self.taken = Counter()

    def step(self, closure=None):
        """Step by 0.01 at first, shorter later."""
        self.taken["steps"] += 1
        with torch.no_grad():
            for group in self.param_groups:
                for weight in group["params"]:
                    if weight.grad is not None:
                        weight.sub_(weight.grad.sign(), alpha=0.01 / self.taken["steps"] ** 0.5)


PROTOCOLS = {each.__name__: each for each in (Twice, MySAM, Curved, Averaged, ByModule, WithoutRate)}
EVALUATIONS = {"Twice": 2, "MySAM": 2, "Curved": 2, "Averaged": 1, "ByModule": 1, "WithoutRate": 1}
"""Gradient evaluations of a step of each."""
