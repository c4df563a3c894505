"""Make records of studies by hand, without running any training, and analyse them."""

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis import compare_procedures, summarize, tuned_scores, verdict
from bench.kinds.optimizers.analysis.headline import headline, sureness

SIX = ("adabound", "adadelta", "adagrad", "adam", "nesterov", "sgd_momentum")
NO_CURVES = pd.DataFrame()


def record(optimizer, seed=0, *, tuning=0, phase="confirm", ap=0.5, status="complete", index=0, **more):
    row = {
        "trial_id": f"{phase}-{optimizer}-{tuning}-{seed}-{index}",
        "phase": phase,
        "optimizer": optimizer,
        "hyperparameters": '{"lr": 0.1}',
        "tuning": tuning,
        "round": 0,
        "seed": seed,
        "index": index,
        "status": status,
        "ap": ap,
        "ap_best": ap,
        "val_loss": 1.0,
        "images_per_s": 20.0,
        "optimizer_step_ms": 2.0,
        "optimizer_state_bytes": 8,
        "train_seconds": 60.0,
        "at_border": "",
    }
    return row | more


def confirm_records(aps):
    """Confirm records from {optimizer: [AP of each tuning]}, or [[AP by seed] of each tuning]; None: diverged."""
    rows = []
    for name, tunings in aps.items():
        for tuning, own in enumerate(tunings):
            runs = list(own) if isinstance(own, (list, tuple, np.ndarray)) else [own]
            for number, ap in enumerate(runs):
                status = "diverged" if ap is None else "complete"
                seed = 1001 + tuning * len(runs) + number
                rows.append(record(name, seed, tuning=tuning, ap=ap, status=status))
    return pd.DataFrame(rows)


def curve_rows(trial_id, points):
    return [{"trial_id": trial_id, "step": step, "train_seconds": s, "ap": ap} for step, s, ap in points]


def summary_of(records, curves=NO_CURVES, **options):
    return summarize(records, curves, tuned_scores(records), **options)


def comparison_of(records, **options):
    return compare_procedures(tuned_scores(records), **options)


def text_of(records, curves=NO_CURVES, *, planned=None, **options):
    return verdict(summary_of(records, curves), comparison_of(records, **options), planned=planned)


def headline_of(records, *, more="`more`"):
    """The one-minute answer, and how sure it is."""
    summary, compared = summary_of(records, NO_CURVES), comparison_of(records)
    return headline(summary, compared), sureness(summary, compared, more=more)


def noisy(means, tunings, *, sd=0.01, seed=0):
    """APs of so many tunings of each optimizer: its mean, what a block does to all, and its own noise."""
    rng = np.random.default_rng(seed)
    block = rng.normal(0, sd, tunings)
    return {name: list(np.clip(mean + block + rng.normal(0, sd, tunings), 0, 1)) for name, mean in means.items()}
