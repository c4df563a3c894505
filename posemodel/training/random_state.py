"""The random numbers that a training may draw, as a state for runs that are resumed: PyTorch's and NumPy's."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

RandomState = dict[str, Tensor]


def random_state(device: torch.device) -> RandomState:
    """Return the state of the random numbers of the CPU, of NumPy, and of ``device`` if it is a CUDA device."""
    # NumPy's global numbers are no choice of this project: optimizers draw them (PSGD in `pytorch_optimizer`).
    numpy: Any = np.random.get_state(legacy=False)  # noqa: NPY002
    gauss = int(np.float64(numpy["gauss"]).view(np.int64))  # its bits: not every device has float64
    return {
        "cpu": torch.get_rng_state(),
        "numpy": torch.tensor([*numpy["state"]["key"].tolist(), numpy["state"]["pos"], numpy["has_gauss"], gauss]),
        **({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {}),
    }


def restore_random_state(device: torch.device, states: Mapping[str, Tensor] | Sequence[Tensor] | Tensor) -> None:
    """Restore what `random_state` returned, on whichever device its tensors were loaded.

    The state of another kind of device is left out. Earlier versions stored the CPU's alone, or a list of the CPU's and
    the CUDA device's.
    """
    if not isinstance(states, Mapping):
        states = dict(zip(("cpu", "cuda"), [states] if isinstance(states, Tensor) else states, strict=False))
    torch.set_rng_state(states["cpu"].cpu())
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)
    if "numpy" in states:
        *words, position, has_gauss, gauss = states["numpy"].tolist()
        bits = float(np.int64(gauss).view(np.float64))
        np.random.set_state(("MT19937", np.array(words, np.uint32), position, has_gauss, bits))  # noqa: NPY002
