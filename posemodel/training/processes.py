"""Training in several processes, as `torchrun` starts them: who this process is, and what all of them agree on.

The processes are joined twice, by gloo for what the CPUs say to each other and by NCCL for the gradients of GPUs, so
that no agreement waits for a GPU. Everything that decides about the course of a run is decided alike in all of them:
said by the first, or true where any says so. Whether to stop they agree on after every step (0.3 ms in two processes of
one machine): a grace period may be shorter than a window, and who waits for a process that has died hears of it there.
"""

import importlib
import inspect
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
from posemodel.launch import launched, place_on_machine

T = TypeVar("T")

LONGEST_WAIT = timedelta(hours=6)
"""For the first process, while it validates: after this the others give it up. One that has died is noticed at once."""
_SYNC_BUFFERS = "broadcast_buffers"
if "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters:  # newer PyTorch's name for it
    _SYNC_BUFFERS = "forward_sync_buffers"
_LOST = ("connection closed by peer", "connection reset by peer", "broken pipe", "socket", "timed out", "gloo")
"""What PyTorch's errors say where another process has gone; they have no class of their own in all versions."""


@dataclass
class Team:
    """The processes that train one network; by default this one alone, for which everything here is free."""

    device: torch.device
    rank: int = 0
    size: int = 1
    _parallel: list[tuple[frozenset[str], DistributedDataParallel]] = field(default_factory=list, repr=False)
    """With the names of the parameters that it averages; the last is in use."""

    @property
    def first(self) -> bool:
        """Whether this process is the one that validates, writes and reports."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is true in any of the processes; all must ask."""
        return flag if self.size == 1 else self._reduced(float(flag), distributed.ReduceOp.MAX) > 0

    def mean(self, value: float) -> float:
        """The mean over the processes; all must ask."""
        return value if self.size == 1 else self._reduced(value, distributed.ReduceOp.SUM) / self.size

    def from_first(self, make: Callable[..., T], *arguments: Any) -> T:
        """What ``make`` returns in the first process, told to all: the others wait, and fail where it fails."""
        if self.size == 1:
            return make(*arguments)
        told: list[tuple[bool, T | None]] = [(False, None)]
        try:
            if self.first:
                told = [(True, make(*arguments))]
        finally:
            distributed.broadcast_object_list(told, src=0, device=torch.device("cpu"))
        done, value = told[0]
        if not done:
            raise ProcessError("the first process has failed while the others waited for it; it says itself why.")
        return value  # type: ignore[return-value]

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network whose backward pass averages the gradients of all processes; ``network`` itself where alone.

        To be asked again when parameters are frozen or released: what is averaged is fixed when it is made. Buffers
        (batch norm's statistics) stay each process's own.
        """
        if self.size == 1:
            return network
        trained = frozenset(name for name, parameter in network.named_parameters() if parameter.requires_grad)
        if not self._parallel or self._parallel[-1][0] != trained:
            wrapped = DistributedDataParallel(
                network,
                device_ids=[self.device] if self.device.type == "cuda" else None,
                **{_SYNC_BUFFERS: False},
                gradient_as_bucket_view=True,
            )
            self._parallel.append((trained, wrapped))
        return self._parallel[-1][1]

    def release(self) -> None:
        """Let go of the process group, before it is destroyed, so that it ends there.

        A DistributedDataParallel may outlive it (an error's traceback keeps it, say). Where that is the last to hold a
        gloo group, the group ends when it is freed, holding Python's lock, and joins threads that wait for that lock:
        for ever. At the interpreter's end such a thread does not get the lock, and aborts the process.
        """
        for _, wrapped in self._parallel:
            wrapped.reducer = wrapped.logger = wrapped.process_group = None
        self._parallel.clear()

    def _reduced(self, value: float, operation: "distributed.ReduceOp.RedOpType") -> float:
        numbers = torch.tensor([value], dtype=torch.float64)
        distributed.all_reduce(numbers, operation)
        return numbers.item()


@contextmanager
def joined(device: Device) -> Iterator[Team]:
    """The team of this process, left at the block's end; alone unless it was started with others.

    A process group that the caller has made is taken as it is (it needs a backend for CPU tensors), and not ended.
    Raises SettingsError where a process has no device of its own, ProcessError where another process has gone.
    """
    ours = not (distributed.is_available() and distributed.is_initialized())
    if ours and not launched():
        yield Team(choose_device(device))
        return
    if not distributed.is_available():
        raise SettingsError("This PyTorch was built without torch.distributed: train in one process.")
    chosen = _own_device(device)
    if ours:
        # The first optimizer imports it otherwise: defaults of its functions would keep the group that is then in use.
        importlib.import_module("torch.distributed.nn.functional")
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=LONGEST_WAIT)
    team = Team(chosen, distributed.get_rank(), distributed.get_world_size())
    try:
        yield team
        team.any(False)  # none leaves while another still asks
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or any(words in str(error).lower() for words in _LOST):
            traceback.clear_frames(error.__traceback__)  # those of PyTorch hold the group, which is to end here
            raise ProcessError(
                f"process {distributed.get_rank()}: another process has gone, so that this one cannot go on "
                f"({str(error).splitlines()[0]})."
            ) from error
        raise
    finally:
        if ours:
            team.release()
            distributed.destroy_process_group()


def _own_device(name: Device) -> torch.device:
    """The device of this process among those of its machine; SettingsError where there are too few."""
    if name == "mps":
        raise SettingsError("device: several processes train on cuda or cpu; Apple's GPU takes one.")
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    choose_device("cuda")
    place, devices = place_on_machine(), torch.cuda.device_count()
    if place >= devices:
        raise SettingsError(
            f"device: process {place} of this machine has no GPU of its own, there are {devices}. "
            f"Start as many: torchrun --nproc-per-node {devices}."
        )
    torch.cuda.set_device(place)
    return torch.device("cuda", place)
