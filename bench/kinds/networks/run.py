"""What each network of the family learns in equal time on this machine, in float32 and in bfloat16."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from bench.kinds.networks.report import NetworkRun, write_network_report
from bench.measure.gpu import GpuSampler
from bench.measure.machine import fingerprint
from bench.optimizers import optimizer_entry
from bench.statistics.json_safe import to_json_safe
from bench.workloads.pose import POSE
from bench.workloads.protocol import Trained
from posemodel.atomic_write import replacing
from posemodel.config import LoaderSettings, Precision, TrainSettings
from posemodel.data.coco import open_split
from posemodel.errors import SettingsError
from posemodel.network.cost import network_cost

LEARNING_RATES = {"rtpose_vgg": 1e-4, "openpose_2019": 1e-4, "lightweight": 1e-3, "small": 2e-3}
"""Of Adam. The networks without batch norm spike at 1e-3 (docs/decisions.md)."""
OTHER_RATE = 1e-4
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
RUNS_FILE = "runs.json"


@dataclass(frozen=True)
class Question:
    """What is trained, on what, and for how long each."""

    data: Path
    networks: Sequence[str]
    precisions: Sequence[Precision] = PRECISIONS
    size: int | None = None
    batch_size: int = 32
    num_workers: int = 0
    seconds: float = 120.0
    """Of training, for each network and precision; evaluations are not counted."""
    evaluations: int = 6
    val_images: int | None = None
    """Scored, of the val split, spread evenly; None: all of it."""
    foreground_weight: float = 4.0
    device: torch.device = field(default_factory=lambda: torch.device("cuda"))
    seed: int = 0


def compare_networks(
    question: Question, folder: Path, say: Callable[[str], object] = lambda _: None
) -> list[NetworkRun]:
    """Train each network in each precision for equal time; the report, curves and drawn samples go into ``folder``.

    A run that is there already (`runs.json`) is not made again: the same call goes on after an interruption.
    """
    folder.mkdir(parents=True, exist_ok=True)
    runs = _earlier(folder, question)
    for name in question.networks:
        for precision in question.precisions:
            if any((run.network, run.precision) == (name, precision) for run in runs):
                continue
            say(f"{name} in {precision}: {question.seconds:g} s of training")
            runs.append(_run(question, name, precision, folder))
            _keep(folder, question, runs)
            write_network_report(runs, folder, _facts(question), fingerprint())
    return runs


def _run(question: Question, name: str, precision: Precision, folder: Path) -> NetworkRun:
    settings = TrainSettings(
        data=question.data,
        network=name,
        size=question.size,
        precision=precision,
        seconds=question.seconds,
        evaluations=question.evaluations,
        val_images=question.val_images,
        foreground_weight=question.foreground_weight,
        loader=LoaderSettings(
            batch_size=question.batch_size,
            num_workers=question.num_workers,
            pin_memory=question.device.type == "cuda",
            persistent_workers=question.num_workers > 0,
        ),
        seed=question.seed,
        device=question.device.type,  # type: ignore[arg-type]
        log_every=10,
    )
    rate = LEARNING_RATES.get(name, OTHER_RATE)
    curve: list[dict[str, float]] = []

    def on_metrics(step: int, metrics: dict[str, float]) -> None:
        curve.append({"step": step, **metrics})

    began = time.monotonic()
    with GpuSampler(question.device.type) as gpu:
        found = POSE.train(settings, optimizer_entry("adam").factory({"lr": rate}), on_metrics=on_metrics)
    picture = _draw(found, folder / f"{name}-{precision}.jpg")
    cost = network_cost(name, question.size)
    return NetworkRun(
        network=name,
        precision=precision,
        status=found.status,
        steps=found.step,
        learning_rate=rate,
        parameters=cost["parameters"],
        gmacs=cost["gmacs"],
        size=cost["size"],
        metrics=to_json_safe({**found.metrics, **gpu.summary()}),
        curve=to_json_safe(curve),
        picture=picture,
        wall_s=time.monotonic() - began,
    )


def _draw(trained: Trained, path: Path) -> str | None:
    """The sample images with what the network finds in them; the file's name, None where nothing can be drawn."""
    samples = trained.samples()
    if samples is None or samples.sheet is None:
        return None
    with replacing(path) as temporary:
        temporary.write_bytes(samples.sheet)
    return path.name


def _facts(question: Question) -> dict[str, Any]:
    train_split = open_split(question.data, "train")
    return {
        "data": question.data.name,
        "images": len(train_split.labelled_only()),
        "batch_size": question.batch_size,
        "num_workers": question.num_workers,
        "seconds": question.seconds,
        "evaluations": question.evaluations,
        "val_images": _val_images(question.data, question.val_images),
        "foreground_weight": question.foreground_weight,
        "device": question.device.type,
        "machine": _machine(),
        "seed": question.seed,
    }


def _val_images(data: Path, most: int | None) -> int:
    """How many images of the val split are scored."""
    there = len(open_split(data, "val"))
    return there if most is None else min(most, there)


def _machine() -> str:
    """What runs are comparable on."""
    found = fingerprint()
    return f"{found['cpu']}, {found['cores']} cores, GPU {found['gpu']}"


def _earlier(folder: Path, question: Question) -> list[NetworkRun]:
    """The runs that are there; SettingsError where the folder holds something else, which is not overwritten."""
    path = folder / RUNS_FILE
    if not path.is_file():
        if any(folder.iterdir()):
            raise SettingsError(f"--out {folder}: is not empty, and holds no comparison to go on with. Give another.")
        return []
    document = json.loads(path.read_text(encoding="utf-8"))
    asked = _facts(question)
    there = document["question"]
    there.setdefault("val_images", _val_images(question.data, None))
    changed = [f"{key}: {there.get(key)!r} -> {value!r}" for key, value in asked.items() if there.get(key) != value]
    if changed:
        raise SettingsError(f"--out {folder}: holds another comparison ({'; '.join(changed)}). Give another folder.")
    return [NetworkRun(**run) for run in document["runs"]]


def _keep(folder: Path, question: Question, runs: Sequence[NetworkRun]) -> None:
    document = {"question": _facts(question), "runs": [vars(run) for run in runs]}
    with replacing(folder / RUNS_FILE) as temporary:
        temporary.write_text(json.dumps(document, allow_nan=False) + "\n", encoding="utf-8")
