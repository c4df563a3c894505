"""Training in several processes, as `torchrun` starts them: this process's rank, and agreements between all.

The processes communicate over gloo for decisions of the CPUs and over NCCL for the gradients of GPUs, so that no
decision waits for a GPU. Every decision about the course of a run is the same in all processes: it is taken by the
first, or is true if it is true in any of them. They agree on whether to stop after every step (0.3 ms in two processes
of one machine), because a cluster's grace period may be shorter than a window, and because a process that has died is
noticed there.
"""

import importlib
import inspect
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from posemodel.config import Device
from posemodel.device import choose_device
from posemodel.errors import ProcessError, SettingsError
from posemodel.launch import is_distributed, rank_on_machine

T = TypeVar("T")

LONGEST_WAIT = timedelta(hours=6)
"""Maximum time for which the others wait while the first process validates. A process that has died is noticed at once.
"""
_SYNC_BUFFERS = "broadcast_buffers"
if (
    "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
):  # its name in newer versions of PyTorch
    _SYNC_BUFFERS = "forward_sync_buffers"
_LOST = ("connection closed by peer", "connection reset by peer", "broken pipe", "socket", "timed out", "gloo")
"""Words of PyTorch's errors about a lost process; these have no class of their own in all versions."""


@dataclass
class Team:
    """The processes that train one network; with the default size of 1, no method communicates."""

    device: torch.device
    rank: int = 0
    size: int = 1
    _parallel: list[tuple[frozenset[str], DistributedDataParallel]] = field(default_factory=list, repr=False)
    """Wrappers made so far, with the names of the parameters whose gradients they average; the last is in use."""

    @property
    def first(self) -> bool:
        """Whether this is the process that validates, writes and reports."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Return whether ``flag`` is true in any process; every process must call this."""
        return flag if self.size == 1 else self._reduced(float(flag), distributed.ReduceOp.MAX) > 0

    def mean(self, value: float) -> float:
        """Return the mean of ``value`` over the processes; every process must call this."""
        return value if self.size == 1 else self._reduced(value, distributed.ReduceOp.SUM) / self.size

    def from_first(self, make: Callable[..., T], *arguments: Any) -> T:
        """Call ``make`` in the first process and return its result in all; ProcessError in the others if it fails."""
        if self.size == 1:
            return make(*arguments)
        message: list[tuple[bool, T | None]] = [(False, None)]
        try:
            if self.first:
                message = [(True, make(*arguments))]
        finally:
            distributed.broadcast_object_list(message, src=0, device=torch.device("cpu"))
        done, value = message[0]
        if not done:
            raise ProcessError("the first process has failed while the others waited for it; its own message says why.")
        return value  # type: ignore[return-value]

    def parallel(self, network: nn.Module) -> nn.Module:
        """Wrap a network so that its backward pass averages gradients over the processes; one process needs no wrapper.

        Call it again when parameters are frozen or unfrozen, because a wrapper's parameters are fixed when it is made.
        Buffers (batch norm's statistics) are not synchronised.
        """
        if self.size == 1:
            return network
        trained = frozenset(name for name, parameter in network.named_parameters() if parameter.requires_grad)
        if not self._parallel or self._parallel[-1][0] != trained:
            options: dict[str, Any] = {_SYNC_BUFFERS: False, "gradient_as_bucket_view": True}
            if self.device.type == "cuda":
                options["device_ids"] = [self.device]
            wrapped = DistributedDataParallel(network, **options)
            self._parallel.append((trained, wrapped))
        return self._parallel[-1][1]

    def release(self) -> None:
        """Drop all references to the process group before it is destroyed.

        A DistributedDataParallel may outlive the group (in an error's traceback, say). If it holds the last reference
        to a gloo group, the group is freed under Python's interpreter lock and joins threads that wait for that lock: a
        deadlock, or an abort when the interpreter exits.
        """
        for _, wrapped in self._parallel:
            for name in ("reducer", "logger", "process_group"):
                setattr(wrapped, name, None)
        self._parallel.clear()

    def _reduced(self, value: float, operation: "distributed.ReduceOp.RedOpType") -> float:
        numbers = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(numbers, operation)
        return numbers.item()


def mean_over_processes(value: torch.Tensor, processes: int) -> torch.Tensor:
    """Return the mean of a tensor over all processes, without waiting for its device; all of them must call this."""
    if processes > 1:
        distributed.all_reduce(value)
        value /= processes
    return value


@contextmanager
def joined(device: Device) -> Iterator[Team]:
    """Join the other processes that `torchrun` started, if any, and leave the group at the end of the block.

    An existing process group of the caller is used (it needs a backend for CPU tensors) and not destroyed. Raises
    SettingsError if there is no device for this process, ProcessError if another process was lost.
    """
    ours = not (distributed.is_available() and distributed.is_initialized())
    if ours and not is_distributed():
        yield Team(choose_device(device))
        return
    if not distributed.is_available():
        raise SettingsError("This PyTorch was built without torch.distributed: train in one process.")
    chosen = _own_device(device)
    if ours:
        # Otherwise the first optimizer imports it, and default arguments of its functions would keep the current group.
        importlib.import_module("torch.distributed.nn.functional")
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
    team = Team(chosen)
    try:
        if ours:
            distributed.init_process_group(backend, timeout=LONGEST_WAIT)
        team.rank, team.size = distributed.get_rank(), distributed.get_world_size()
        # No process leaves (with an error, say) while another still joins, or still communicates.
        team.any(False)
        yield team
        team.any(False)
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or any(words in str(error).lower() for words in _LOST):
            traceback.clear_frames(error.__traceback__)  # PyTorch's hold the group, which must be destroyed here
            raise ProcessError(
                f"process {os.environ.get('RANK', team.rank)}: another process was lost, so this one cannot continue "
                f"({str(error).splitlines()[0]})."
            ) from error
        raise
    finally:
        if ours and distributed.is_initialized():
            team.release()
            distributed.destroy_process_group()


def _own_device(name: Device) -> torch.device:
    """Choose the device of this process among those of its machine; raise SettingsError if there are too few."""
    if name == "mps":
        raise SettingsError("device: several processes train on cuda or cpu; Apple's GPU takes one.")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    choose_device("cuda")
    local_rank, devices = rank_on_machine(), torch.cuda.device_count()
    if local_rank >= devices:
        raise SettingsError(
            f"device: process {local_rank} of this machine has no GPU of its own: there are {devices}. "
            f"Start as many: torchrun --nproc-per-node {devices}."
        )
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)
