"""The budget of an optimizers study: steps or seconds of training, for the tune and the confirm phase. Pure."""

from collections.abc import Mapping, Sequence

from bench.settings.layers import DEFAULT, FileOrigin, LocatedError, Setting
from posemodel.errors import SettingsError

STEP_BUDGET, TIME_BUDGET = ("tune_steps", "steps"), ("tune_seconds", "seconds")
"""Names of the budget settings, (tune, confirm); a study uses one of the two pairs."""


def settle_budget(settings: dict[str, Setting], layers: Sequence[Mapping[str, Setting]]) -> None:
    """Keep one kind of budget, steps or seconds, and derive the phase that was not set. Changes ``settings`` in place.

    The last of ``layers`` (the highest) that sets a budget decides the kind. If that layer sets only one phase, and the
    preset's budget is of the other kind, the other phase is derived with the preset's ratio of tune to confirm (at most
    1). If the confirm steps are below the preset's tune steps, the tune steps are shortened too, unless the user set
    them.

    Raises:
        SettingsError: That layer sets both steps and seconds.
    """
    kept, dropped = STEP_BUDGET, TIME_BUDGET
    for layer in reversed(layers):
        budget_names = [name for name in (*STEP_BUDGET, *TIME_BUDGET) if name in layer]
        if {*budget_names} & {*STEP_BUDGET} and {*budget_names} & {*TIME_BUDGET}:
            raise _two_budgets(budget_names, layer)
        if budget_names:
            kept, dropped = (TIME_BUDGET, STEP_BUDGET) if budget_names[0] in TIME_BUDGET else (kept, dropped)
            break
    tune, confirm = kept
    amounts = settings[tune].value, settings[confirm].value
    dropped_amounts = [settings[name].value for name in dropped]
    preset_origins = ("preset", DEFAULT)
    if None in amounts and amounts != (None, None) and None not in dropped_amounts:
        ratio = dropped_amounts[0] / dropped_amounts[1]
        if settings[dropped[0]].origin.startswith(preset_origins):
            ratio = min(ratio, 1)
        if amounts[0] is None:
            settings[tune] = Setting(
                _rounded_amount(tune, amounts[1] * ratio), f"{settings[confirm].origin} ({confirm})"
            )
        else:
            settings[confirm] = Setting(
                _rounded_amount(confirm, amounts[0] / ratio), f"{settings[tune].origin} ({tune})"
            )
    for name in dropped:
        settings[name] = Setting(None, DEFAULT)
    tune_setting, confirm_setting = settings[tune], settings[confirm]
    if tune_setting.origin.startswith(preset_origins) and not confirm_setting.origin.startswith(preset_origins):
        settings[tune] = Setting(
            min(tune_setting.value, confirm_setting.value), f"{confirm_setting.origin} ({confirm})"
        )


def _two_budgets(budget_names: Sequence[str], layer: Mapping[str, Setting]) -> SettingsError:
    message = f"{', '.join(budget_names)}: mix a budget in steps with one in seconds"
    remedy = "give steps or seconds, not both."
    origin = layer[budget_names[0]].origin
    if isinstance(origin, FileOrigin):
        positions = ", ".join(origin.location(name) for name in budget_names)
        return LocatedError(f"{origin.location(budget_names[0])}: {message} ({positions}): {remedy}")
    return SettingsError(f"{message} (from: {origin}): {remedy}")


def _rounded_amount(name: str, amount: float) -> float:
    """Round steps to a whole number, at least 1; leave seconds as they are."""
    return max(1, round(amount)) if name.endswith("steps") else amount
