"""Find optimizers by name: those of the registry, any class of `torch.optim`, any class by its dotted path.

In: a name; search spaces as text or data. Out: an `OptimizerEntry` with hyperparameters, tuning space and factory.
Never: a training; `unfit.py` only tries steps on small random weights.
"""

from bench.optimizers.entry import OptimizerEntry
from bench.optimizers.registry import OPTIMIZERS
from posemodel.dotted_paths import with_dots

__all__ = ["OPTIMIZERS", "OptimizerEntry", "optimizer_entry"]


def optimizer_entry(name: str) -> OptimizerEntry:
    """Return the entry of an optimizer by name.

    Args:
        name: one of the registry or of `torch.optim`, in upper or lower case; the path of a class, `my_package.Lion`
            or `my_package:Lion`; a wrapper over another, `my_package.SAM(adamw)`; or one for matrices with one for
            the rest, `muon+adamw`.

    Raises SettingsError, which suggests the nearest name or says why the class cannot be imported.

    Example:
        make_optimizer = optimizer_entry("adam").factory({"lr": 1e-3, "one_minus_beta1": 0.1})
        optimizer = make_optimizer(network.parameters())
    """
    name = with_dots(name)
    registered = OPTIMIZERS.get(name) or OPTIMIZERS.get(name.lower())
    if registered is not None:
        return registered
    from bench.optimizers.finding import find_entry  # imports PyTorch, which is slow

    return find_entry(name)
