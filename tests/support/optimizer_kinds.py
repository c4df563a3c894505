"""A module with an optimizer of each convention of the field, as its users write it."""

KINDS = """
import torch
from torch.optim import SGD, Optimizer


class Closing(SGD):
    '''Needs a closure, which gives the gradients.'''
    def step(self, closure=None):
        if closure is None: raise RuntimeError("not without the loss")
        with torch.enable_grad(): loss = closure()
        super().step()
        return loss


class Loss(SGD):
    '''Needs only the value of the loss, and calls the closure without gradients.'''
    @torch.no_grad()
    def step(self, closure):
        for group in self.param_groups: group["seen"] = float(closure())
        super().step()


class Away(Optimizer):
    '''Wants gradients a bit before the weights, from its seventh step on.'''
    def __init__(self, params, lr=0.01): super().__init__(params, {"lr": lr, "steps": 0})
    @torch.no_grad()
    def step(self, closure):
        for group in self.param_groups:
            group["steps"] += 1
            for p in group["params"]: p.add_(0.01 * (group["steps"] > 6))
        with torch.enable_grad(): closure()
        for group in self.param_groups:
            for p in group["params"]: p.sub_(0.01 * (group["steps"] > 6) + group["lr"] * p.grad)


class Sharp(Optimizer):
    '''Sharpness-aware minimisation (Foret et al., ICLR 2021), over any optimizer.'''
    def __init__(self, params, base_optimizer, rho=0.05, **kwargs):
        super().__init__(params, {"rho": rho})
        self.base_optimizer = base_optimizer(self.param_groups, **kwargs)
        self.param_groups = self.base_optimizer.param_groups

    @torch.no_grad()
    def first_step(self):
        self.away = []
        for group in self.param_groups:
            for p in group["params"]:
                away = group["rho"] * p.grad / (p.grad.norm() + 1e-12)
                p.add_(away)
                self.away.append((p, away))

    @torch.no_grad()
    def second_step(self):
        for p, away in self.away: p.sub_(away)
        self.base_optimizer.step()

    def step(self, closure=None):
        if closure is None: raise RuntimeError("a closure, please")
        self.first_step()
        closure()
        self.second_step()


class Curved(SGD):
    '''A step scaled by an estimate of the Hessian's diagonal.'''
    def step(self, closure=None):
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            grads = [p.grad for p in params]
            signs = [torch.ones_like(p) for p in params]
            products = torch.autograd.grad(grads, params, grad_outputs=signs)
            with torch.no_grad():
                for p, g, h in zip(params, grads, products): p.sub_(group["lr"] * g / (1 + h.abs()))


class Averaged(SGD):
    '''Two sets of weights: eval() shows the mean of those of all steps.'''
    on = False
    def train(self):
        if not self.on:
            for p, s in self.state.items():
                if "kept" in s: p.data.copy_(s["kept"])
        self.on = True
    def eval(self):
        if self.on:
            for p, s in self.state.items():
                if "mean" in s:
                    s["kept"] = p.detach().clone()
                    p.data.copy_(s["mean"])
        self.on = False
    def step(self, closure=None):
        if not self.on: raise Exception("Optimizer was not in train mode")
        super().step()
        for group in self.param_groups:
            for p in group["params"]:
                s = self.state[p]
                s["count"] = s.get("count", 0) + 1
                mean = s.setdefault("mean", torch.zeros_like(p))
                mean.add_((p.detach() - mean) / s["count"])


class OfNames(SGD):
    def __init__(self, named_parameters, lr=0.01):
        named = list(named_parameters)
        self.names = [name for name, _ in named]
        super().__init__([p for _, p in named], lr=lr)


class OfNetwork(SGD):
    def __init__(self, model, lr=0.01, **kwargs):
        self.model = model
        super().__init__(model.parameters(), lr=lr)


class Planned(SGD):
    '''Has a schedule of its own, over a length that it must be told.'''
    def __init__(self, params, num_iterations, num_data, lr=0.01):
        self.planned = (num_iterations, num_data)
        super().__init__(params, lr=lr)


class Around:
    '''A wrapper that is not derived from PyTorch's class.'''
    count = 0
    def __init__(self, base, every=2, momentum=0.5): self.base, self.every, self.momentum = base, every, momentum
    param_groups = property(lambda self: self.base.param_groups)
    state = property(lambda self: self.base.state)
    def zero_grad(self, set_to_none=True): self.base.zero_grad(set_to_none)
    def state_dict(self): return self.base.state_dict()
    def load_state_dict(self, state): self.base.load_state_dict(state)
    def step(self, closure=None):
        self.count += 1
        if self.count % self.every == 0: self.base.step()


class OnlyMatrices(SGD):
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=lr)
        if any(p.ndim != 2 for group in self.param_groups for p in group["params"]):
            raise ValueError("only matrices")


class Decaying(SGD):
    def __init__(self, params, lr=0.01, weight_decay=0.0): super().__init__(params, lr=lr, weight_decay=weight_decay)


class Flagged(SGD):
    '''Wants groups that say which are matrices.'''
    def __init__(self, params, lr=0.01):
        super().__init__(params, lr=lr)
        self.flags = {tuple(p.shape): group["use_muon"] for group in self.param_groups for p in group["params"]}


class Flattening(SGD):
    '''Cannot flatten weights that are channels_last.'''
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None: p.data.view(-1).sub_(group["lr"] * p.grad.view(-1))


class Passing(Optimizer):
    '''**kwargs are for whoever knows them; the base class takes none by name.'''
    def __init__(self, params, lr=0.01, **kwargs): super().__init__(params, {"lr": lr, **kwargs})
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]: p.sub_(group["lr"] * p.grad)


class Base(Optimizer):
    def __init__(self, params, defaults, scale=1.0): super().__init__(params, defaults)


class OverBase(Base):
    def __init__(self, params, lr=0.01, **kwargs): super().__init__(params, {"lr": lr}, **kwargs)
    step = Passing.step


class Rebinding(OnlyMatrices):
    '''Assigns `p.data` instead of changing it.'''
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None: p.data = p.data - group["lr"] * p.grad


class RebindingFlat(SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None: p.data = (p.data.view(-1) - group["lr"] * p.grad.view(-1)).view(p.shape)


class Idle(OnlyMatrices):
    def step(self, closure=None): pass


class Willing(SGD):
    '''Does nothing without a closure, and says nothing.'''
    def step(self, closure=None):
        if closure is None: return
        with torch.enable_grad(): closure()
        super().step()


class Helping(SGD):
    def backward(self, loss): loss.backward()


class NeedsRate(SGD):
    def __init__(self, params, lr, scale=1.0): super().__init__(params, lr=lr)


class PassesOn(NeedsRate):
    def __init__(self, params, **kwargs): super().__init__(params, **kwargs)


class ByPosition(SGD):
    def __init__(self, params, /, lr=0.01): super().__init__(params, lr=lr)


class SharpByFactory(Sharp):
    def __init__(self, params, base_optimizer: "Callable[..., Optimizer]", rho=0.05, **kwargs):
        super().__init__(params, base_optimizer, rho, **kwargs)


class DecayingWrapper(Around):
    def __init__(self, base, weight_decay=0.1): super().__init__(base)
"""
