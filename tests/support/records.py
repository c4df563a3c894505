"""Hand-made records, and what the analysis says of them."""

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis import paired_comparisons, score_table, summarize, verdict

SIX = ("adabound", "adadelta", "adagrad", "adam", "nesterov", "sgd_momentum")
NO_CURVES = pd.DataFrame()


def record(optimizer, seed=0, *, phase="confirm", ap=0.5, status="complete", index=0, **more):
    row = {
        "trial_id": f"{phase}-{optimizer}-{seed}-{index}",
        "phase": phase,
        "optimizer": optimizer,
        "hyperparameters": '{"lr": 0.1}',
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
    """Confirm records from {optimizer: [ap by seed]}."""
    return pd.DataFrame([record(name, seed, ap=ap) for name, own in aps.items() for seed, ap in enumerate(own)])


def curve_rows(trial_id, points):
    return [{"trial_id": trial_id, "step": step, "train_seconds": s, "ap": ap} for step, s, ap in points]


def text_of(records, curves=NO_CURVES):
    return verdict(summarize(records, curves), paired_comparisons(score_table(records)))


def noisy(means, n, *, sd=0.01, seed=0):
    rng = np.random.default_rng(seed)
    block = rng.normal(0, sd, n)
    return {name: np.clip(mean + block + rng.normal(0, sd, n), 0, 1) for name, mean in means.items()}
