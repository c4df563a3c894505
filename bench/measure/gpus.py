"""The GPUs that this process may use: model, memory and UUID, found without touching CUDA here.

NVML lists the GPUs of the machine; what CUDA_VISIBLE_DEVICES leaves of them is a pure function (`visible_of`). Where
NVML cannot say it, a short child process asks CUDA itself.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

try:
    import pynvml
except ImportError:  # an extra
    pynvml = None

VISIBLE_VARIABLE = "CUDA_VISIBLE_DEVICES"
ORDER_VARIABLE = "CUDA_DEVICE_ORDER"
BY_BUS = "PCI_BUS_ID"
"""Value of ORDER_VARIABLE with which CUDA numbers GPUs as NVML does. By default the fastest comes first."""
WHOLE, INSTANCE = "GPU-", "MIG-"
"""Beginnings of UUIDs: of a whole GPU, of an instance of one in MIG mode (NVIDIA's Multi-Instance GPU)."""
_ASKING_S = 120
"""Longest time that the child process may take, in seconds; importing PyTorch takes most of it."""
_ASK_CUDA = """
import json, torch
each = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
print(json.dumps([[str(one.uuid), one.name, one.total_memory] for one in each]))
"""
_environment_lock = threading.Lock()


@dataclass(frozen=True)
class Gpu:
    """A CUDA device: a whole GPU, or a MIG instance of one."""

    uuid: str
    """As NVML and CUDA_VISIBLE_DEVICES spell it: `GPU-...` or `MIG-...`."""
    name: str
    """Model, such as `NVIDIA H200`."""
    memory_bytes: int
    """Total memory."""

    @property
    def text(self) -> str:
        """Model and UUID, as records name it."""
        return f"{self.name} ({self.uuid})"


@dataclass(frozen=True)
class Card:
    """A GPU of the machine, with its instances if it is in MIG mode."""

    gpu: Gpu
    instances: tuple[Gpu, ...] | None = None
    """None: not in MIG mode."""

    @property
    def devices(self) -> tuple[Gpu, ...]:
        """What programs can use: the whole GPU, or in MIG mode its instances."""
        return (self.gpu,) if self.instances is None else self.instances


def visible_gpus(environ: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA may use, in CUDA's order; empty if there is none, or if none can be identified.

    An instance counts as a GPU. Programs that could see several instances see only the first; a process that sees one
    by its UUID can use any.
    """
    setting, order = environ.get(VISIBLE_VARIABLE), environ.get(ORDER_VARIABLE)
    cards = _cards()
    if cards and _order_known(cards, setting, order):
        return visible_of(cards, setting)
    return _asked_of_cuda(setting, order)


def visible_of(cards: Sequence[Card], setting: str | None) -> tuple[Gpu, ...]:
    """Return the GPUs that a value of CUDA_VISIBLE_DEVICES leaves visible, by CUDA's rules and in the value's order.

    An entry is an index or a UUID; of a whole GPU also the beginning of one. An entry that names none hides itself and
    all that follow. A GPU named twice hides all. An entry that names a GPU in MIG mode stands for its instances.

    Args:
        cards: The machine's GPUs in CUDA's order.
        setting: The variable's value; None: not set, all are visible. An empty text leaves none.
    """
    if setting is None:
        return tuple(gpu for card in cards for gpu in card.devices)
    visible: list[Gpu] = []
    beginning = next((each for each in (WHOLE, INSTANCE) if setting.strip().startswith(each)), "")
    for entry in setting.split(","):
        named = _named(cards, entry.strip(), beginning)
        if not named:
            break
        if any(gpu in visible for gpu in named):
            return ()
        visible += named
    return tuple(visible)


def _named(cards: Sequence[Card], entry: str, beginning: str) -> tuple[Gpu, ...]:
    """Return what an entry names. All UUIDs of a value begin alike; without ``beginning``, entries are indices."""
    if not beginning:
        number = re.match(r"\+?\d+", entry)  # CUDA reads the digits at the entry's start
        index = int(number[0]) if number else len(cards)
        return cards[index].devices if index < len(cards) else ()
    if not entry.startswith(beginning):
        return ()
    if beginning == INSTANCE:
        return tuple(gpu for card in cards for gpu in card.instances or () if gpu.uuid == entry)
    named = [card for card in cards if card.gpu.uuid.startswith(entry)]
    return named[0].devices if len(named) == 1 else ()


def _order_known(cards: Sequence[Card], setting: str | None, order: str | None) -> bool:
    """Return True if NVML's order is CUDA's, or does not matter: CUDA's default puts the fastest GPU first."""
    by_uuid = setting is not None and setting.strip().startswith((WHOLE, INSTANCE))
    return by_uuid or order == BY_BUS or len({card.gpu.name for card in cards}) == 1


def _cards() -> tuple[Card, ...]:
    """Return the machine's GPUs by NVML, in the order of their PCI addresses; empty without NVML."""
    if pynvml is None:
        return ()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(Card(_gpu(handle), _instances(handle)) for handle in handles)
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _gpu(handle: Any) -> Gpu:
    """Describe a GPU or an instance by its NVML handle."""
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    return Gpu(pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle), int(memory))


def _instances(handle: Any) -> tuple[Gpu, ...] | None:
    """Return the instances of a GPU; None if it is not in MIG mode."""
    try:
        if pynvml.nvmlDeviceGetMigMode(handle)[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return None
    except pynvml.NVMLError:  # a model without MIG
        return None
    instances = []
    for index in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with suppress(pynvml.NVMLError_NotFound):
            instances.append(_gpu(pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)))
    return tuple(instances)


@lru_cache(maxsize=4)
def _asked_of_cuda(setting: str | None, order: str | None) -> tuple[Gpu, ...]:
    """Ask CUDA in a child process with these values of the variables; empty if it cannot say."""
    given = {VISIBLE_VARIABLE: setting, ORDER_VARIABLE: order}
    others = {name: value for name, value in os.environ.items() if name not in given}
    environ = others | {name: value for name, value in given.items() if value is not None}
    command = [sys.executable, "-c", _ASK_CUDA]
    try:
        asked = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=_ASKING_S, check=True)
        return tuple(gpu_of(*each) for each in json.loads(asked.stdout))
    except (OSError, ValueError, subprocess.SubprocessError):
        return ()


def gpu_of(uuid: str, name: str, memory_bytes: int) -> Gpu:
    """Return the GPU that PyTorch describes, which leaves out the beginning of its UUID."""
    if uuid.startswith((WHOLE, INSTANCE)):
        return Gpu(uuid, name, memory_bytes)
    return Gpu(f"{INSTANCE if ' MIG ' in name else WHOLE}{uuid}", name, memory_bytes)


@contextmanager
def starting_on(gpu: Gpu | None) -> Iterator[None]:
    """Let processes that are started in the block see only this GPU; None: what this process sees.

    The variable is in their environment from their start, since CUDA reads it once.
    """
    if gpu is None:
        yield
        return
    with _environment_lock:
        before = os.environ.get(VISIBLE_VARIABLE)
        os.environ[VISIBLE_VARIABLE] = gpu.uuid
        try:
            yield
        finally:
            if before is None:
                del os.environ[VISIBLE_VARIABLE]
            else:
                os.environ[VISIBLE_VARIABLE] = before
