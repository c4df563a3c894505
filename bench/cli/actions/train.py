"""Action of `posebench train`: train one network, with progress on stderr and results on stdout."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bench.cli.actions.train_output import MetricsFile, line, next_commands, stop_on_interrupt
from bench.cli.actions.train_settings import resolve
from bench.cli.output import log, log_opened, print_json, print_line, progress_bar, shown_text
from bench.measure.gpu import GpuSampler
from bench.optimizers import optimizer_entry
from bench.optimizers.own_schedules import schedule_reason
from bench.optimizers.unfit import check_trains
from bench.statistics.json_safe import to_json_safe
from posemodel.data.open_split import PackedSplit, collect_notes
from posemodel.device import choose_device
from posemodel.dotted_paths import with_dots
from posemodel.errors import SettingsError
from posemodel.launch import is_rank_zero
from posemodel.training.loop import train
from posemodel.training.run import BEST_FILE, LAST_FILE
from posemodel.training.state import stored_identity

METRICS_FILE = "metrics.jsonl"
LOG_EVERY_S = 10.0
"""Seconds between progress lines on a pipe, which has no bar."""


def train_network(options: Mapping[str, Any], given_options: set[str]) -> None:
    """Train by the options of the command; ``given_options``: names of the options that the user gave."""
    settings, optimizer, hyperparameters = resolve(options, given_options)
    entry = optimizer_entry(optimizer)
    out, resume = options["out"], options["resume"]
    out = out if out is not None else Path("runs") / f"{with_dots(settings.network)}-{optimizer}-seed{options['seed']}"
    if entry.schedule is not None and "schedule" not in given_options:
        begun = stored_identity(out).get("schedule", entry.schedule) if resume else entry.schedule
        if begun == entry.schedule:
            reason = schedule_reason(optimizer)
            why = f"that of the method{f' ({reason})' if reason else ''}; --schedule sets another"
        else:  # an earlier version trained each optimizer with the same schedule
            settings = resolve({**options, "schedule": begun}, {*given_options, "schedule"}).settings
            why = "with which this run was begun"
        if is_rank_zero():
            log(f"schedule {settings.schedule}, {why}")
    check_trains(entry, hyperparameters)
    make_optimizer = entry.factory(hyperparameters)
    run_record = {"optimizer": optimizer, "hyperparameters": entry.resolve(hyperparameters)}
    if options["recipe"] is not None:
        run_record["recipe"] = options["recipe"]
    if (
        not resume and out.is_dir() and any(out.iterdir())
    ):  # checked in each process, so that none waits for another that stopped
        go_on = " --resume to go on with it, or" if (out / METRICS_FILE).is_file() else ""
        raise SettingsError(f"--out {out}: is not empty. Give{go_on} another folder.")
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out}: is a file; give a folder.")
    if (
        settings.frozen_backbone_epochs
        and settings.weights is None
        and settings.backbone_weights is None
        and is_rank_zero()
    ):
        log("the frozen backbone has random weights: give --backbone-weights or --weights")
    if options["threads"] is not None:
        torch.set_num_threads(options["threads"])
    device_type = choose_device(settings.device).type
    metrics_file = MetricsFile(out / METRICS_FILE)

    with progress_bar() as bar, GpuSampler(device_type) as gpu, stop_on_interrupt() as should_stop:
        task = bar.add_task("training", total=settings.steps or settings.seconds)
        logged_at = [-LOG_EVERY_S]
        notes: list[dict[str, Any]] = []

        def on_open(*splits: PackedSplit) -> None:
            log_opened(splits)
            notes.extend(note.as_row() for note in collect_notes(splits))

        def on_metrics(step: int, metrics: dict[str, float]) -> None:
            metrics = metrics | gpu.latest()
            metrics_file.add(to_json_safe({"step": step, **metrics}))
            bar.update(task, completed=step if settings.seconds is None else metrics["train_seconds"])
            due = "val_loss" in metrics or (bar.disable and time.monotonic() - logged_at[0] > LOG_EVERY_S)
            if due:
                logged_at[0] = time.monotonic()
                log(line(step, metrics)) if bar.disable else bar.console.print(shown_text(line(step, metrics)))
            elif "loss" in metrics:
                bar.update(task, description=f"loss {metrics['loss']:.4f}")

        result = train(
            settings,
            make_optimizer,
            out=out,
            resume=resume,
            on_metrics=on_metrics,
            on_open=on_open,
            run_record=run_record,
            should_stop=should_stop,
        )

    if not is_rank_zero():
        return
    if result.status == "diverged":
        log(f"diverged by step {result.step}: the loss is no longer finite. A lower --lr may help.")
    document: dict[str, Any] = {"status": result.status, "steps": result.step, "out": str(out), **result.metrics}
    if options["as_json"]:
        print_json({**to_json_safe(document), "notes": notes})
    else:
        for key, value in document.items():
            print_line(f"{key:24} {value:.6g}" if isinstance(value, float) else f"{key:24} {value}")
        written = [out / name for name in (BEST_FILE, LAST_FILE) if (out / name).is_file()]
        for text in next_commands(written[0], settings) if written else ():
            print_line(text)
