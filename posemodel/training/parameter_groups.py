"""Weights in groups, each with its own learning rate and weight decay, as the published recipes have them."""

from collections.abc import Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

from posemodel.config import GroupSettings
from posemodel.errors import SettingsError
from posemodel.network import PoseNetwork

MULTIPLIER = "lr_multiplier"
"""Entry of an optimizer's group."""
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)

Group = dict[str, Any]
Parameters = Iterable[nn.Parameter] | list[Group]
"""What an optimizer takes: parameters, or groups of them."""


def parameter_groups(network: PoseNetwork, settings: GroupSettings) -> Parameters:
    """The network's parameters as an optimizer takes them: plain, unless the settings tell some from others.

    The first group is the one that follows the learning rate itself. Each group has its multiplier as `lr_multiplier`
    (see `multiply_rates`), and `weight_decay` 0 where it is spared. SettingsError where the network has no later stage.
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
        {"params": found, MULTIPLIER: multiplier, **({} if decays else {"weight_decay": 0.0})}
        for (multiplier, decays), found in groups.items()
        if found
    ]


def multiply_rates(optimizer: Optimizer, settings: GroupSettings) -> None:
    """Give each group its multiple of the rate that the optimizer was made with; before a schedule is made.

    After the optimizer is made, because it alone knows its rate. AdaBound's ``final_lr`` follows lr / base_lr, and so
    takes part in the multiple. SettingsError where the groups did not reach the optimizer.
    """
    if settings == GroupSettings():
        return
    if not all(MULTIPLIER in group for group in optimizer.param_groups):
        raise SettingsError(
            f"groups: {type(optimizer).__name__} was not made of the parameter groups that it was given, so that no "
            "weights can have a rate of their own."
        )
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] * group[MULTIPLIER]


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
