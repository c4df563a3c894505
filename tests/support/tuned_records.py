"""Make records and curves of a study with tuned optimizers, without a plan and without training."""

import json
import math

import numpy as np
import pandas as pd

from bench.kinds.optimizers.search import rounds_of
from bench.trials.spec import FIRST_CONFIRM_SEED
from bench.trials.status import Status

BEST = {"sgd": (0.3, -1.0), "nesterov": (0.35, -1.0), "adagrad": (0.28, -1.2), "adadelta": (0.2, 0.0)}
BEST |= {"adam": (0.42, -2.6), "adabound": (0.38, -2.8)}
"""AP at the best rate, and its decimal logarithm; `OTHER` for any optimizer that is not here."""
OTHER = (0.33, -2.0)
SECOND = {"sgd": 0.4, "adabound": 0.7}
"""Of training a step, 0.5 for any other."""
STATE = {"sgd": 4e6, "nesterov": 4e6, "adagrad": 4e6, "adadelta": 8e6, "adam": 8e6, "adabound": 8e6}
SECONDARY = {"sgd": "one_minus_momentum", "nesterov": "one_minus_momentum", "adam": "one_minus_beta1"}
EVALUATION_S, RUN_SD, BLOCK_SD, TUNED_DECADES = 2.0, 0.01, 0.005, 0.1
FIRST_ROUND = 0.6
"""Share of a tuning's trials in its first round, which are half as long; the others are in its last round."""


def tuned(spec, *, scale=1.0, confirm=True, fates=None, diverge_from=math.inf, collapsed=(), on_select=True):
    """Records and curves, as `Tracker` gives them, of a study with the sizes of ``spec``.

    ``scale``: of every AP. ``fates``: {(phase, optimizer, seed or number in its tuning): Status} of trials that do not
    complete, in every tuning. ``diverge_from``: times the best rate, from where tune trials diverge. ``collapsed``:
    (optimizer, tuning) whose confirm trials learn nothing. ``on_select``: whether confirm trials have ``ap_select``.
    """
    fates, rng = fates or {}, np.random.default_rng(0)
    rows, points = [], []
    clock = 0.0

    def run(phase, name, tuning, number, seed, log_rate, *, tuning_round=0, control_of=""):
        nonlocal clock
        top, best = BEST.get(control_of or name, OTHER)
        off = 0.2 if control_of else log_rate - best
        key = number if phase == "tune" else seed
        broken = phase == "tune" and off > math.log10(diverge_from)
        fate = fates.get((phase, name, key), Status.DIVERGED if broken else Status.COMPLETE)
        second = float(SECOND.get(name, 0.5) + 0.01 * rng.standard_normal())
        steps, seconds = (spec.tune_steps, spec.tune_seconds) if phase == "tune" else (spec.steps, spec.seconds)
        whole = steps or int(seconds / second)
        whole = max(1, whole // 2) if phase == "tune" and tuning_round < last_round else whole
        done = whole if fate == Status.COMPLETE else whole // 2
        lost = phase == "confirm" and (name, tuning) in collapsed
        block = BLOCK_SD * np.random.default_rng(seed).standard_normal() if phase == "confirm" else 0.0
        ap = 0.0 if lost else max(0.0, scale * (top * math.exp(-(off**2)) + block + RUN_SD * rng.standard_normal()))
        trial = f"{phase}-{name}-{tuning}-{key}"
        evaluations = spec.evaluations if phase == "confirm" else 1
        evaluated = [step for k in range(1, evaluations + 1) if (step := math.ceil(whole * k / evaluations)) <= done]
        for step in evaluated:
            share = step / whole
            points.append(
                {
                    "trial_id": trial,
                    "step": step,
                    "train_seconds": step * second,
                    "ap": ap * share,
                    "val_loss": 2 - share,
                }
            )
        hyperparameters = {"lr": 10**log_rate}
        if not control_of and name in SECONDARY:
            hyperparameters[SECONDARY[name]] = 0.1 + 0.01 * tuning
        if control_of:
            hyperparameters["momentum"] = 0.9
        row = {
            "trial_id": trial,
            "run_id": f"{len(rows):04x}" * 8,
            "phase": phase,
            "index": len(rows),
            "optimizer": name,
            "tuning": tuning,
            "round": tuning_round,
            "hyperparameters": json.dumps(hyperparameters, sort_keys=True),
            "at_border": "",
            "seed": seed,
            "status": fate,
            "steps_done": done,
            "error": "RuntimeError: the dog ate it" if fate == Status.FAILED else "",
            "implementation": "",
            "control_of": control_of,
            "concurrent_trials": 1,
            "torch_threads": 1,
            **dict.fromkeys(("ap", "ap_best", "val_loss", "ap_select"), math.nan),
        }
        if fate not in (Status.FAILED, Status.OUT_OF_MEMORY):
            row |= {
                "images_per_s": 20 / second,
                "optimizer_step_ms": 1 + second,
                "optimizer_state_bytes": STATE.get(name, 6e6),
                "train_seconds": done * second,
                "eval_seconds": EVALUATION_S * len(evaluated),
            }
        if fate == Status.COMPLETE:
            row |= {"ap": ap, "ap_best": ap * 1.1, "val_loss": 1.0}
            if on_select and phase == "confirm":
                row["ap_select"] = ap + 0.01 * rng.standard_normal()
        begin, clock = clock, clock + done * second + EVALUATION_S * len(evaluated) + 1
        rows.append(row | {"started_ms": 1000 * begin, "ended_ms": 1000 * clock})

    first, last_round = math.ceil(FIRST_ROUND * spec.trials), len(rounds_of(spec.trials)) - 1
    finalists = {}
    for number in range(spec.trials):
        for tuning in range(spec.tunings):
            for name in spec.optimizers:
                _, best = BEST.get(name, OTHER)
                if number < first:
                    log_rate = best - 1.5 + 3 * (number + rng.random()) / first
                else:
                    log_rate = best + 0.5 * (2 * rng.random() - 1)
                run("tune", name, tuning, number, 0, log_rate, tuning_round=last_round if number >= first else 0)
                finalists[name, tuning] = best + TUNED_DECADES * float(rng.standard_normal())
    for tuning in range(spec.tunings if confirm else 0):
        for number in range(spec.seeds):
            seed = FIRST_CONFIRM_SEED + tuning * spec.seeds + number
            for name in spec.optimizers:
                run("confirm", name, tuning, number, seed, finalists[name, tuning])
                if spec.controls and name == "adabound":
                    of = finalists[name, tuning]
                    run("confirm", f"{name} (limit)", tuning, number, seed, of, control_of=name)
    return pd.DataFrame(rows), pd.DataFrame(points)
