"""Text of a joint study's configurations, numbers and noise for sentences, tables and charts."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.kinds.joint.analysis.picks import BEST_AP, FASTEST, NEAR, NEAR_BEST, Pick
from bench.kinds.joint.analysis.results import MOSTLY_NOISE, JointResults
from bench.kinds.joint.objectives import AXES
from bench.report.cells import speed_text
from bench.report.dataloader_call import DATALOADER_DEFAULTS, dataloader_call
from bench.report.shown_score import ShownScore
from bench.report.text import literal
from bench.report.wording import counted, enumerate_items, value_text
from bench.statistics.interval import Interval

NOT_KNOWN = "-"
NEED_WORKERS = ("prefetch_factor", "persistent_workers", "multiprocessing_context", "start_method")
"""Loader settings that PyTorch refuses, or that mean nothing, without workers."""
CHOSEN = {
    "tpe": "by Optuna's TPE",
    "random": "at random",
    "quasi-random": "by a quasi-random plan",
}
"""Phrases that say who chose the configurations, by sampler."""
UNEQUAL = {
    "tpe": "the sampler gave more trials to optimizers that looked good early, with one seed each",
    "random": "chance decided how many trials each optimizer had, with one seed each",
    "quasi-random": "each optimizer had few trials, with one seed each",
}
RATES = ("lr", "effective_lr")
"""Names of a learning rate; effective_lr is lr / (1 - momentum)."""


def score_label(measure: ShownScore) -> str:
    """Return the score's label in figures."""
    return f"{measure.name} (select split{'' if measure.score.sign > 0 else ', lower is better'})"


def speed_label(measure: ShownScore) -> str:
    """Return the label of speed in figures."""
    return f"{measure.speed} of training"


def role_words(role: str, measure: ShownScore) -> str:
    """Return a role in words, such as `the highest AP`."""
    return {
        BEST_AP: f"the {measure.best} {measure.name}",
        NEAR_BEST: f"the most {measure.speed} within {near_text(measure)} that {measure.name}",
        FASTEST: f"the most {measure.speed} of all",
    }[role]


def near_text(measure: ShownScore) -> str:
    """Return `2 % of`, or where a score is not counted from 0 `2 % (of the distance from chance) of`."""
    by_chance = "" if measure.score.sign > 0 and measure.score.chance == 0 else " (of the distance from chance)"
    return f"{share_text(NEAR)}{by_chance} of"


def role_name(role: str, measure: ShownScore) -> str:
    """Return a role's name in documents and tables, such as `best AP`."""
    return f"best {measure.name}" if role == BEST_AP else role


def short_roles(roles: Sequence[str], measure: ShownScore) -> str:
    """Return short names of roles, such as `best AP, fastest`; `NEAR_BEST` is left out beside `BEST_AP`.

    Three of them and the row names fit a terminal.
    """
    shown_roles = [role for role in roles if role != NEAR_BEST or BEST_AP not in roles]
    if shown_roles == [NEAR_BEST, FASTEST]:
        return "nearly best, fastest"
    short = {BEST_AP: role_name(BEST_AP, measure), NEAR_BEST: "nearly best, faster", FASTEST: "fastest"}
    return ", ".join(short[role] for role in shown_roles)


def configuration_text(settings: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return `adam at lr 0.0031, 2 workers, batch 8, pinned` as plain text; ``names``: the optimizers' short names."""
    return ", ".join([optimizer_text(settings, names), *_loading(settings)])


def configuration_words(settings: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return `adam at lr 0.0031 with 2 workers and batches of 8`, in Markdown."""
    loading = [counted(settings["num_workers"], "worker"), f"batches of {settings['batch_size']}"]
    pinned = ["pinned memory"] if settings["pin_memory"] else []
    return f"{literal(optimizer_text(settings, names))} with {enumerate_items([*loading, *pinned])}"


def optimizer_text(settings: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return `adam at lr 0.0031` as plain text."""
    optimizer = names.get(settings["optimizer"], settings["optimizer"])
    rate = rate_of(settings)
    return f"{optimizer} at {rate[0]} {value_text(rate[1])}" if rate is not None else optimizer


def rate_of(settings: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Return name and value of the learning rate; None if a configuration has none."""
    return next(((name, settings[name]) for name in RATES if name in settings), None)


def _loading(settings: Mapping[str, Any]) -> list[str]:
    loading = [counted(settings["num_workers"], "worker"), f"batch {settings['batch_size']}"]
    return [*loading, *(["pinned"] if settings["pin_memory"] else [])]


def hyperparameters_text(settings: Mapping[str, Any]) -> str:
    """Return hyperparameters as `lr 0.0031, one_minus_beta1 0.12`."""
    own = {name: value for name, value in settings.items() if name not in ("optimizer", *AXES)}
    return ", ".join(f"{name} {value_text(value)}" for name, value in own.items()) or NOT_KNOWN


def loader_call(pick: Pick, loader: Mapping[str, Any]) -> str:
    """Return the ``DataLoader(...)`` call to paste.

    Pinned memory only if it had an effect, and no setting that has no use without workers.
    """
    settings = {name: pick.settings[name] for name in AXES}
    loader = {name: value for name, value in loader.items() if settings["num_workers"] or name not in NEED_WORKERS}
    settings["pin_memory"] = settings["pin_memory"] and pick.pinned
    return dataloader_call({"cv2_threads": None, **DATALOADER_DEFAULTS, **loader, **settings})


def speed_interval(interval: Interval) -> str:
    """Return a speed with its interval as `118 [112, 124]`."""
    middle = speed_text(interval.estimate)
    return middle if interval.low is None else f"{middle} [{speed_text(interval.low)}, {speed_text(interval.high)}]"


def range_cell(interval: Interval, text: Callable[[float], str]) -> str:
    """Return an interval as `0.290 to 0.330`, or `-`."""
    return (
        NOT_KNOWN if interval.low is None or interval.high is None else f"{text(interval.low)} to {text(interval.high)}"
    )


def noise_sentence(results: JointResults) -> str:
    """Say how much of the variance of images/s is noise; only for studies where it is judged."""
    assert results.speed is not None
    return (
        f"{results.measure.speed_subject} are {_noise_text(results.speed.share)}: differences between runs of the same "
        f"settings make up {share_text(results.speed.share)} of the variance "
        f"({counted(results.speed.repeats, 'repeat')}). Do not choose by speed; `posebench study loaders` measures it."
    )


def noise_caption(results: JointResults) -> str:
    """Return a short form of `noise_sentence` for the figure."""
    assert results.speed is not None
    return (
        f"**The speed axis is {_noise_text(results.speed.share)} ({share_text(results.speed.share)} of its variance).**"
    )


def share_text(share: float) -> str:
    """Return a share as `49 %`."""
    return f"{100 * share:.0f} %"


def _noise_text(share: float) -> str:
    return "mostly noise" if share >= MOSTLY_NOISE else "in large part noise"
