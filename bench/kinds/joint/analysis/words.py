"""How a joint study's configurations and figures are said."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from bench.kinds.joint.analysis.picks import Pick
from bench.kinds.joint.objectives import AXES
from bench.report.dataloader_call import DATALOADER_DEFAULTS, dataloader_call
from bench.report.wording import ap_text, counted, value_text
from bench.statistics.intervals import Interval

NOT_KNOWN = "-"
NEED_WORKERS = ("prefetch_factor", "persistent_workers", "multiprocessing_context", "start_method")
"""Settings that PyTorch refuses, or that mean nothing, without workers."""
CHOSEN = {
    "tpe": "by Optuna's TPE",
    "random": "at random",
    "quasi-random": "by a quasi-random plan",
}
"""By sampler: who chose what is tried."""
UNEQUAL = {
    "tpe": "the sampler gave more trials to what looked good early, with one seed each",
    "random": "chance decided how many trials each had, with one seed each",
    "quasi-random": "each had few trials, with one seed each",
}
RATES = ("lr", "effective_lr")
"""Names of a learning rate; effective_lr is lr / (1 - momentum)."""
AP_LABEL, SPEED_LABEL = "AP (select split)", "images/s of training"
NOBODY = "no trial has completed"
ALL_ZERO = "no trial has an AP above 0"


def configuration_text(settings: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """`adam at lr 0.0031, 2 workers, batch 8, pinned`; ``names``: the optimizers' short names."""
    optimizer = names.get(settings["optimizer"], settings["optimizer"])
    rate = next((name for name in RATES if name in settings), None)
    optimizer += f" at {rate} {value_text(settings[rate])}" if rate is not None else ""
    loading = [counted(settings["num_workers"], "worker"), f"batch {settings['batch_size']}"]
    return ", ".join([optimizer, *loading, *(["pinned"] if settings["pin_memory"] else [])])


def hyperparameters_text(settings: Mapping[str, Any]) -> str:
    """`lr 0.0031, one_minus_beta1 0.12`."""
    own = {name: value for name, value in settings.items() if name not in ("optimizer", *AXES)}
    return ", ".join(f"{name} {value_text(value)}" for name, value in own.items()) or NOT_KNOWN


def loader_call(pick: Pick, loader: Mapping[str, Any]) -> str:
    """The ``DataLoader(...)`` call to paste; pinned memory only where it had an effect, and no setting without use."""
    settings = {name: pick.settings[name] for name in AXES}
    loader = {name: value for name, value in loader.items() if settings["num_workers"] or name not in NEED_WORKERS}
    settings["pin_memory"] = settings["pin_memory"] and pick.pinned
    return dataloader_call({"cv2_threads": None, **DATALOADER_DEFAULTS, **loader, **settings})


def ap_cell(value: float | None) -> str:
    """`0.312`, or `-`."""
    return NOT_KNOWN if value is None or pd.isna(value) else ap_text(value)


def speed_text(value: float | None) -> str:
    """Images/s with three digits or more: `9.81`, `98.1`, `981`, `9810`; or `-`."""
    if value is None or pd.isna(value):
        return NOT_KNOWN
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def ap_interval(found: Interval) -> str:
    """`0.312 [0.290, 0.330]`."""
    return _interval(found, ap_text)


def speed_interval(found: Interval) -> str:
    """`118 [112, 124]`."""
    return _interval(found, speed_text)


def _interval(found: Interval, text: Any) -> str:
    if found.estimate is None:
        return NOT_KNOWN
    middle = text(found.estimate)
    return middle if found.low is None or found.high is None else f"{middle} [{text(found.low)}, {text(found.high)}]"


def link(file: str) -> str:
    """To a file beside the report, by its name."""
    return f"[{file}]({file})"
