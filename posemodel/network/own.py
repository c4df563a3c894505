"""Networks of users: import a class by its dotted path, build it for a skeleton, check that its output fits.

The module is looked up as Python does, and last in the working directory. Errors say what is wrong and how to mend it.
"""

import importlib
import inspect
import os
import sys
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import nn

from posemodel.config import MIN_SIZE
from posemodel.dotted_paths import split_dotted_path
from posemodel.errors import SettingsError, did_you_mean
from posemodel.network.base import Maps, PoseNetwork
from posemodel.skeleton import COCO_PERSON, Skeleton

GUIDE = "`def __init__(self, skeleton)` with `super().__init__(skeleton)`"
"""Constructor that every network can have."""
NUMBERS = {
    "stride": "input pixels per cell of its maps",
    "size_multiple": "pixels of which the input's side must be a multiple",
    "default_size": "side of the input in pixels",
}
"""Class attributes that a network must set to whole numbers, and their meanings."""


def is_own(network: PoseNetwork | type[PoseNetwork]) -> bool:
    """Return whether a network is a user's: its class is not one of the networks that ship."""
    return not (network if isinstance(network, type) else type(network)).__module__.startswith("posemodel.network.")


def own_class(path: str) -> type[PoseNetwork]:
    """Import a network class by its path, `my_package:MyNet`; SettingsError says what is wrong with it."""
    if os.getcwd() not in sys.path:  # noqa: PTH109 (sys.path holds text)
        sys.path.append(os.getcwd())  # noqa: PTH109 # last, so that it hides no library
    module_name, name = split_dotted_path(path)
    try:
        with redirect_stdout(sys.stderr):  # stdout is reserved for JSON
            module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:  # the user's module may raise anything
        raise SettingsError(_import_problem(path, module_name, error)) from error
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        near = did_you_mean(name, [n for n, value in vars(module).items() if inspect.isclass(value)])
        raise SettingsError(f"network: {path}: the module {module_name} has no class {name!r}.{near}")
    if not inspect.isclass(found) or not issubclass(found, PoseNetwork) or found is PoseNetwork:
        raise SettingsError(
            f"network: {path}: is not a class derived from posemodel.PoseNetwork: write `class {name}(PoseNetwork)`."
        )
    check_class(found, path)
    return found


def _import_problem(path: str, module_name: str, error: BaseException) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and f"{module_name}.".startswith(f"{missing}."):
        return (
            f"network: {path}: there is no module {missing!r}. It must be installed, or in the folder from which the "
            f"command is run (now {os.getcwd()})."  # noqa: PTH109 (what Python's import uses)
        )
    return f"network: {path}: importing {module_name} fails with {type(error).__name__}: {error}."


def check_class(network_type: type[PoseNetwork], name: str) -> None:
    """Raise SettingsError if a user's class is abstract, or lacks stride, size_multiple or default_size."""
    abstract = sorted(getattr(network_type, "__abstractmethods__", ()))
    if abstract:
        raise SettingsError(f"network: {name}: is abstract: it must define the method {' and '.join(abstract)}.")
    for attribute, meaning in NUMBERS.items():
        value = getattr(network_type, attribute, None)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            problem = "lacks" if value is None else f"has {value!r} as"
            raise SettingsError(
                f"network: {name}: {problem} the class attribute {attribute}, the {meaning}, a whole number."
            )
    stride, multiple, size = network_type.stride, network_type.size_multiple, network_type.default_size
    if multiple % stride:
        raise SettingsError(f"network: {name}: size_multiple {multiple} must be a multiple of its stride {stride}.")
    if size % multiple or size < MIN_SIZE:
        raise SettingsError(
            f"network: {name}: default_size {size} must be a multiple of its size_multiple {multiple}, and at least "
            f"{MIN_SIZE}."
        )


def construct(network_type: type[PoseNetwork], name: str, skeleton: Skeleton) -> PoseNetwork:
    """Build a network for a skeleton.

    A constructor without the argument `skeleton` is accepted for the maps of COCO's person. Raises SettingsError, which
    says how to write it, if the constructor takes no other skeleton, does not pass it on, needs other arguments or
    fails.
    """
    parameters = inspect.signature(network_type).parameters
    takes_it = "skeleton" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    if not takes_it and not same_maps(skeleton, COCO_PERSON):
        raise SettingsError(
            f"network: {name}: its constructor takes no skeleton, so that it can be built for COCO's person alone, not "
            f"for {described(skeleton)}. Write {GUIDE}, and take the channels of its maps from skeleton.num_heatmaps "
            "and skeleton.num_pafs."
        )
    try:
        network = network_type(skeleton=skeleton) if takes_it else network_type()
    except Exception as error:
        if not is_own(network_type):
            raise
        raise SettingsError(
            f"network: {name}: its constructor fails with {type(error).__name__}: {error}. It is called with a "
            f"skeleton alone: write {GUIDE}."
        ) from error
    if not takes_it and getattr(network, "skeleton", None) == COCO_PERSON:
        network.skeleton = skeleton
    if getattr(network, "skeleton", None) != skeleton:
        raise SettingsError(f"network: {name}: its constructor does not pass the skeleton on: write {GUIDE}.")
    if not isinstance(getattr(network, "backbone", None), nn.Module):
        raise SettingsError(
            f"network: {name}: has no module `backbone`: set self.backbone to the layers that can be frozen (an empty "
            "nn.Sequential if there are none)."
        )
    return network


def check_output(network: PoseNetwork, size: int, name: str) -> None:
    """Raise SettingsError if a user's network returns maps that do not fit its skeleton and input size.

    The message names the stage, what it returned and what is needed. Networks that ship are not run. The others run
    once on the meta device, where nothing is computed, or on their own device if that fails, with random generators,
    mode and batch-norm statistics restored.
    """
    if not is_own(network):
        return
    skeleton, stages = network.skeleton, _trial_stages(network, size, name)
    if not isinstance(stages, (list, tuple)) or not stages or not all(isinstance(maps, Maps) for maps in stages):
        kinds = [type(maps).__name__ for maps in stages] if isinstance(stages, (list, tuple)) else ""
        got = f"a {type(stages).__name__}{f' of {kinds}' if kinds else ''}"
        raise SettingsError(f"network: {name}: its method `stages` returns {got}; it must return a list of Maps.")
    cells = size // network.stride
    channels = {"heatmaps": skeleton.num_heatmaps, "pafs": skeleton.num_pafs}
    for number, maps in enumerate(stages, start=1):
        if maps.heatmaps is None and maps.pafs is None:
            raise SettingsError(f"network: {name}: stage {number} of {len(stages)}: has no maps; leave this stage out.")
        for field, count in channels.items():
            value = getattr(maps, field)
            if value is None and number < len(stages):
                continue
            needed = (1, count, cells, cells)
            fits = isinstance(value, torch.Tensor) and value.shape == needed and value.is_floating_point()
            if not fits:
                raise SettingsError(
                    f"network: {name}: stage {number} of {len(stages)}: its {field} are {_shape(value)}; {needed} "
                    f"floats are needed for one image: {count} = skeleton.num_{field} channels for "
                    f"{described(skeleton)}, and {cells} = size / stride = {size} / {network.stride} cells a side."
                )


def same_maps(first: Skeleton, second: Skeleton) -> bool:
    """Return whether networks for both have the same maps; name, sigmas and mirror pairs may differ."""
    return (first.parts, first.limbs) == (second.parts, second.limbs)


def described(skeleton: Skeleton) -> str:
    """Return name and size of a skeleton: `hand (21 parts, 20 limbs)`."""
    return f"{skeleton.name} ({skeleton.num_parts} parts, {skeleton.num_limbs} limbs)"


def _shape(value: object) -> str:
    if not isinstance(value, torch.Tensor):
        return "None" if value is None else f"a {type(value).__name__}"
    return f"{tuple(value.shape)}" if value.is_floating_point() else f"{tuple(value.shape)} of {value.dtype}"


def _trial_stages(network: PoseNetwork, size: int, name: str) -> Any:
    """Run a network on one black image in evaluation mode and return what it returns."""
    device = next((value.device for value in (*network.parameters(), *network.buffers())), torch.device("cpu"))
    cuda = [device.index or 0] if device.type == "cuda" else []
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=cuda):
            try:
                return _run_on_meta(network, size)
            except Exception:  # an operation that the meta device lacks, or a tensor that is no buffer
                return network(torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device))
    except Exception as error:
        raise SettingsError(
            f"network: {name}: running it on one image of {size} x {size} pixels fails with {type(error).__name__}: "
            f"{error}."
        ) from error
    finally:
        for module, mode in modes.items():
            module.training = mode


def _run_on_meta(network: PoseNetwork, size: int) -> Any:
    """Run a network on one image with weights of the meta device: shapes and operations, without numbers or memory."""
    state = {key: value.to("meta") for key, value in (*network.named_parameters(), *network.named_buffers())}
    images = torch.zeros(1, 3, size, size, dtype=torch.uint8, device="meta")
    return torch.func.functional_call(network, state, (images,))
