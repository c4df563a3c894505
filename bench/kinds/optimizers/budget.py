"""The budget of an optimizers study: in steps or in seconds of training, for the tune and the confirm phase. Pure."""

from collections.abc import Mapping, Sequence

from bench.settings.layers import DEFAULT, FileOrigin, PlacedError, Setting
from posemodel.errors import SettingsError

STEP_BUDGET, TIME_BUDGET = ("tune_steps", "steps"), ("tune_seconds", "seconds")
"""Settings of a study's budget, tune and confirm; it has one of the two."""


def settle_budget(settings: dict[str, Setting], layers: Sequence[Mapping[str, Setting]]) -> None:
    """Leave one kind of budget: that of the highest layer that gives one; what is given of it decides the rest.

    Seconds over a preset's steps: the phase that is not given keeps its ratio to the other. Steps below a preset's tune
    steps shorten these too, unless somebody set the tune steps themselves; so a ratio is at most 1.
    """
    own, other = STEP_BUDGET, TIME_BUDGET
    for layer in reversed(layers):
        given = [name for name in (*STEP_BUDGET, *TIME_BUDGET) if name in layer]
        if {*given} & {*STEP_BUDGET} and {*given} & {*TIME_BUDGET}:
            raise _two_budgets(given, layer)
        if given:
            own, other = (TIME_BUDGET, STEP_BUDGET) if given[0] in TIME_BUDGET else (own, other)
            break
    tune, confirm = own
    known = settings[tune].value, settings[confirm].value
    lengths = [settings[name].value for name in other]
    shipped = ("preset", DEFAULT)
    if None in known and known != (None, None) and None not in lengths:
        ratio = lengths[0] / lengths[1]
        if settings[other[0]].origin.startswith(shipped):
            ratio = min(ratio, 1)
        if known[0] is None:
            settings[tune] = Setting(_whole(tune, known[1] * ratio), f"{settings[confirm].origin} ({confirm})")
        else:
            settings[confirm] = Setting(_whole(confirm, known[0] / ratio), f"{settings[tune].origin} ({tune})")
    for name in other:
        settings[name] = Setting(None, DEFAULT)
    short, long = settings[tune], settings[confirm]
    if short.origin.startswith(shipped) and not long.origin.startswith(shipped):
        settings[tune] = Setting(min(short.value, long.value), f"{long.origin} ({confirm})")


def _two_budgets(given: Sequence[str], layer: Mapping[str, Setting]) -> SettingsError:
    message = f"{', '.join(given)}: are a budget in steps and one in seconds"
    remedy = "give steps or seconds, not both."
    origin = layer[given[0]].origin
    if isinstance(origin, FileOrigin):
        places = ", ".join(origin.place(name) for name in given)
        return PlacedError(f"{origin.place(given[0])}: {message} ({places}): {remedy}")
    return SettingsError(f"{message} (from: {origin}): {remedy}")


def _whole(name: str, amount: float) -> float:
    """Steps are whole, and at least one."""
    return max(1, round(amount)) if name.endswith("steps") else amount
