"""Parameter groups of the published recipes: faster later stages and biases, weights exempt from weight decay."""

from collections.abc import Iterable
from numbers import Real
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from posemodel.config import GroupSettings
from posemodel.errors import SettingsError
from posemodel.network import PoseNetwork

MULTIPLIER = "lr_multiplier"
"""Key, in an optimizer's parameter group, of the multiplier of its learning rate."""
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)

Group = dict[str, Any]
Parameters = Iterable[nn.Parameter] | list[Group]
"""The parameters that an optimizer is made from, plain or in groups."""


def parameter_groups(network: PoseNetwork, settings: GroupSettings) -> Parameters:
    """Return a network's parameters for an optimizer: ungrouped, unless the settings treat some differently.

    The first group has the plain learning rate. Each group has its multiplier as `lr_multiplier` (applied by
    `multiply_rates`), and `weight_decay` 0 where the settings exempt it. Raises SettingsError if a multiplier for later
    stages is set and the network has only one stage.
    """
    if settings == GroupSettings():
        return network.parameters()
    later = {id(each) for stage in network.later_stages() for each in stage.parameters()}
    if settings.later_stage_lr != 1 and not later:
        raise SettingsError(f"later_stage_lr: {type(network).__name__} has no stage after the first.")
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): []}
    seen: set[int] = set()
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                key = _multiplier(module, name, settings, later=id(parameter) in later), _decays(module, name, settings)
                groups.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, MULTIPLIER: multiplier, **({} if decays else {"weight_decay": 0.0})}
        for (multiplier, decays), parameters in groups.items()
        if parameters
    ]


def multiply_rates(optimizer: Optimizer, settings: GroupSettings) -> None:
    """Multiply the learning rate of each group of an optimizer by the group's multiplier.

    Call it after creating the optimizer, whose class may set the rate, and before creating the schedule. AdaBound
    scales its ``final_lr`` by lr / base_lr, so that it follows by itself. Raises SettingsError if the optimizer lacks
    the groups, or the rates to multiply.
    """
    if settings == GroupSettings():
        return
    if not all(MULTIPLIER in group for group in optimizer.param_groups):
        raise SettingsError(
            f"groups: {type(optimizer).__name__} did not keep the parameter groups that it was made with, so that no "
            "weights can have their own learning rate. Remove the settings of groups, or use another optimizer."
        )
    if (settings.later_stage_lr, settings.bias_lr) != (1, 1) and not all(has_rates(optimizer)):
        raise SettingsError(
            f"groups: {type(optimizer).__name__} has no learning rate that could be multiplied. Remove later_stage_lr "
            "and bias_lr, or use another optimizer."
        )
    for group, has_rate in zip(optimizer.param_groups, has_rates(optimizer), strict=True):
        if has_rate:
            group["lr"] = group["lr"] * group[MULTIPLIER]


def has_rates(optimizer: Optimizer) -> list[bool]:
    """Return for each parameter group whether it has a learning rate: a number, or a tensor with one."""
    rates = [group.get("lr") for group in optimizer.param_groups]
    return [isinstance(each, Real) or (isinstance(each, Tensor) and each.numel() == 1) for each in rates]


def _multiplier(module: nn.Module, name: str, settings: GroupSettings, *, later: bool) -> float:
    multiplier = settings.later_stage_lr if later and not isinstance(module, NORMS) else 1.0
    return multiplier * settings.bias_lr if name == "bias" else multiplier


def _decays(module: nn.Module, name: str, settings: GroupSettings) -> bool:
    if name == "bias":
        return settings.bias_weight_decay
    if isinstance(module, NORMS):
        return settings.norm_weight_decay
    depthwise = isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels
    return settings.depthwise_weight_decay or not depthwise
