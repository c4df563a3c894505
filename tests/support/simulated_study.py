"""A study's records and curves without its training: what six optimizers might have done."""

import math

import numpy as np
import pandas as pd

from bench.kinds.optimizers.analysis import best_settings
from bench.kinds.optimizers.plan import Chosen, plan_confirm, plan_tune
from bench.trials.record import make_record
from bench.trials.status import Status

BEST = {"sgd": (0.3, -1.0), "nesterov": (0.35, -1.0), "adagrad": (0.28, -1.2), "adadelta": (0.2, 0.0)}
BEST |= {"adam": (0.42, -2.6), "adabound": (0.38, -2.8)}
"""AP at the best learning rate, and its decimal logarithm; `OTHER` for any optimizer that is not here."""
OTHER = (0.33, -2.0)
SECOND = {"sgd": 0.4, "adabound": 0.7}
"""Of training a step, 0.5 for any other."""
STATE = {"sgd": 4e6, "nesterov": 4e6, "adagrad": 4e6, "adadelta": 8e6, "adam": 8e6, "adabound": 8e6}
EVALUATION_S = 2.0


def simulate(spec, *, scale=1.0, confirm=True, fates=None, diverge_from=math.inf):
    """Records and curves (as `Tracker` gives them) of a study.

    ``scale``: of every AP. ``fates``: {(phase, optimizer, seed or index): Status} of trials that do not complete.
    ``diverge_from``: times the best learning rate, from where tune trials diverge.
    """
    fates = fates or {}
    rows, points, clock = [], [], 0.0
    rng = np.random.default_rng(0)

    def run(trial):
        nonlocal clock
        top, log_lr = BEST.get(trial.control_of or trial.optimizer, OTHER)
        off = 0.2 if trial.control_of else math.log10(trial.hyperparameters["lr"]) - log_lr
        key = trial.seed if trial.phase == "confirm" else trial.index
        broken = trial.phase == "tune" and off > math.log10(diverge_from)
        fate = fates.get((trial.phase, trial.optimizer, key), Status.DIVERGED if broken else Status.COMPLETE)
        second = float(SECOND.get(trial.optimizer, 0.5) + 0.01 * rng.standard_normal())
        whole = trial.train.steps or int(trial.train.seconds / second)
        steps = whole if fate == Status.COMPLETE else whole // 2
        evaluations = trial.train.evaluations or math.ceil(whole / trial.train.ap_every)
        ap = max(0.0, scale * (top * math.exp(-(off**2)) + 0.01 * rng.standard_normal()))
        places = [math.ceil(whole * number / evaluations) for number in range(1, evaluations + 1)]
        evaluated = [step for step in places if step <= steps]
        for step in evaluated:
            share = step / whole
            points.append(
                {
                    "trial_id": trial.id,
                    "step": step,
                    "train_seconds": step * second,
                    "ap": ap * share,
                    "val_loss": 2.0 - share,
                }
            )
        metrics = dict.fromkeys(("ap", "ap_best", "val_loss"), math.nan)  # columns that are always there
        if fate not in (Status.FAILED, Status.OUT_OF_MEMORY):
            metrics |= {
                "images_per_s": 20 / second,
                "optimizer_step_ms": 1 + second,
                "optimizer_state_bytes": STATE.get(trial.optimizer, 6e6),
                "train_seconds": steps * second,
                "eval_seconds": EVALUATION_S * len(evaluated),
            }
        if fate == Status.COMPLETE:
            metrics |= {"ap": ap, "ap_best": ap * 1.1, "val_loss": 1.0}
        error = "RuntimeError: the dog ate it" if fate == Status.FAILED else ""
        record = make_record(trial, fate, steps_done=steps, metrics=metrics, error=error, concurrent_trials=1)
        begin, clock = clock, clock + steps * second + EVALUATION_S * len(evaluated) + 1
        run_id = f"{trial.index:04x}" * 8
        rows.append(record.as_row() | {"run_id": run_id, "started_ms": 1000 * begin, "ended_ms": 1000 * clock})

    for trial in plan_tune(spec):
        run(trial)
    if confirm:
        chosen = {name: Chosen(best) for name, best in best_settings(pd.DataFrame(rows)).items()}
        for trial in plan_confirm(spec, chosen):
            run(trial)
    return pd.DataFrame(rows), pd.DataFrame(points)
