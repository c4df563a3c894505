"""Make records of a joint study by hand: trials of six optimizers, with failures, and confirmations by new seeds."""

import json
import math

import numpy as np
import pandas as pd
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from bench.kinds.joint.analysis import configuration_key, joint_findings, picks
from bench.kinds.joint.importances import Observed, importances
from bench.kinds.joint.objectives import AP_AND_SPEED
from bench.report.findings_write import StudyInfo
from bench.report.shown_score import AP

OPTIMIZERS = ("sgd", "nesterov", "adagrad", "adadelta", "adam", "adabound")
RATES = {"sgd": 0.07, "nesterov": 0.05, "adagrad": 0.05, "adadelta": 3.0, "adam": 2e-3, "adabound": 2e-3}
BEST = {"sgd": 0.22, "nesterov": 0.24, "adagrad": 0.31, "adadelta": 0.19, "adam": 0.33, "adabound": 0.25}
"""The made-up AP that each reaches at its best learning rate."""
SPACE = {
    "optimizer": CategoricalDistribution(OPTIMIZERS),
    "num_workers": IntDistribution(0, 2),
    "batch_size": CategoricalDistribution((4, 8, 16)),
    "pin_memory": CategoricalDistribution((False,)),
    "lr": FloatDistribution(1e-5, 10, log=True),
    "momentum": FloatDistribution(0.5, 0.99),
}
FIXED = 6


def trial(index, optimizer="adam", *, phase="search", ap=0.3, speed=100.0, status="complete", **more):
    """A record, as the tracker gives it; of its own configuration, in digits that are not shown."""
    row = {
        "trial_id": f"{phase}-{index}",
        "run_id": f"{index:03d}{'abcdef012345'[index % 12] * 29}",
        "phase": phase,
        "index": index,
        "optimizer": optimizer,
        "hyperparameters": json.dumps({"lr": 0.001 * (1 + 1e-6 * index), "momentum": 0.9}),
        "num_workers": 1,
        "pin_memory": False,
        "effective_pin_memory": False,
        "batch_size": 8,
        "seed": 0,
        "status": status,
        "error": "",
        "network": "small",
        "size": 128,
        "device": "cpu",
        "torch_threads": 1,
        "concurrent_trials": 1,
        "steps_done": 400,
        "ap": ap,
        "ap_select": math.nan,
        "images_per_s": speed,
        "train_seconds": 30.0,
        "need_memory_bytes": 4e8,
        "need_shm_bytes": 0.0,
    }
    return row | ({"ap": math.nan, "images_per_s": math.nan} if status != "complete" else {}) | more


def frame(*rows):
    return pd.DataFrame(list(rows))


def made_up(count=40, *, seed=0):
    """``count`` search trials, a few of them without a result, that come closer to what is good."""
    random = np.random.default_rng(seed)
    rows = []
    for index in range(count):
        late = index / max(count, 1)
        odds = np.array([BEST[name] for name in OPTIMIZERS]) ** (6 * late)
        name = OPTIMIZERS[index] if index < FIXED else str(random.choice(OPTIMIZERS, p=odds / odds.sum()))
        off = float(random.normal(0, 0.9 - 0.5 * late))
        batch, workers = int(random.choice([4, 8, 16])), int(random.integers(3))
        momentum = float(random.uniform(0.5, 0.99))
        lr = RATES[name] * 10**off
        ap = max(0.0, BEST[name] * (1 - 0.6 * off**2) * (0.8 + 0.1 * math.log2(batch / 4)) + random.normal(0, 0.008))
        speed = (70 + 14 * math.log2(batch) + (0, 12, 9)[workers]) * (0.93 if name == "adadelta" else 1)
        more = {"batch_size": batch, "num_workers": workers, "steps_done": 400}
        more["hyperparameters"] = json.dumps({"lr": lr, "momentum": momentum}, sort_keys=True)
        if off > 0.85:
            more |= {"status": "diverged", "steps_done": 31, "error": "the loss is not finite at step 31"}
        elif batch == 16 and workers == 2 and random.random() < 0.7:
            more |= {"status": "skipped", "error": "would need 3.1 GB of /dev/shm, 1.0 GB free"}
        rows.append(trial(index, name, ap=ap, speed=speed + float(random.normal(0, 2.5)), **more))
    return frame(*rows)


def with_fresh_seeds(records, objective=AP_AND_SPEED, *, seeds=3, seed=1, fall=0.02):
    """The records with confirm trials of each pick, whose AP is lower than the search saw it by about ``fall``."""
    random = np.random.default_rng(seed)
    rows = []
    for pick in picks(records, objective):
        source = records[[configuration_key(row) == pick.key for row in records.to_dict(orient="records")]].iloc[0]
        for fresh in range(seeds):
            on_select = max(0.0, pick.score - fall + float(random.normal(0, 0.01)))
            measured = {
                "trial_id": f"confirm-{pick.trial_id}-{fresh}",
                "phase": "confirm",
                "seed": 1001 + fresh,
                "index": len(records) + len(rows),
                "ap_select": on_select,
                "ap": max(0.0, on_select - 0.01),
                "images_per_s": pick.images_per_s - 2 + float(random.normal(0, 1)),
            }
            rows.append(dict(source) | measured)
    return pd.concat([records, pd.DataFrame(rows)], ignore_index=True) if rows else records


def observed(records):
    """The complete search trials, as the caller gives them to `importances`."""
    rows = records[(records["phase"] == "search") & (records["status"] == "complete")] if len(records) else records
    return [
        Observed(
            optimizer=row["optimizer"],
            shared={name: row[name] for name in ("optimizer", "num_workers", "batch_size", "pin_memory")},
            own=json.loads(row["hyperparameters"]),
            distributions=SPACE,
            outcomes=(row["ap"], row["images_per_s"]),
        )
        for row in rows.to_dict(orient="records")
    ]


def findings_of(records, objective=AP_AND_SPEED, **more):
    """What the study's own code asks for, from the records alone."""
    lines = {
        pick.key: f"torch.optim.Adam(model.parameters(), lr={pick.settings['lr']:.3g})"
        for pick in picks(records, objective, more.get("measure", AP))
    }
    if "importances" not in more:
        more["importances"] = importances(observed(records), ("ap", "images_per_s"))
    given = {
        "optimizers": OPTIMIZERS,
        "optimizer_lines": lines,
        "fixed": FIXED,
        "search_trials": 40,
        "seeds": 3,
        "sampler": "tpe",
        "length": "1,600 images",
        "data": "data `synthetic-400-seed0`",
    }
    return joint_findings(records, objective=objective, **(given | more))


def info_of(records, *, status="complete"):
    counts = records["status"].value_counts().to_dict() if len(records) else {}
    return StudyInfo(
        name="joint-demo",
        kind="joint",
        preset="small",
        status=status,
        trials={**counts, "recorded": len(records), "planned": 49},
        spec={"kind": "joint", "trials": 40},
        settings={"kind": "joint", "trials": 40, "spaces": {"adam": {"lr": {"log": [1e-5, 1e-2]}}}},
        machine={"cpu": "a processor", "cores": "2"},
        command="posebench study joint --preset small --name joint-demo-again",
        records=records,
    )
