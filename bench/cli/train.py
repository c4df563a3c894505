"""`posebench train`: train one network with one optimizer."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.output import log, log_left_out, print_json, progress_bar
from posemodel.atomic_write import replacing

if TYPE_CHECKING:
    from bench.space import Value

OWN_OPTIONS = {"lr": "--lr", "weight_decay": "--wd"}
"""Hyperparameters that `--option` leaves to other options."""
METRICS_FILE = "metrics.jsonl"
SAY_EVERY_S = 10.0
"""Seconds between lines on a pipe, where no bar moves."""


def train(
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="A data set in COCO's standard layout.")],
    network: Annotated[str, typer.Option("--network", help="rtpose_vgg or small.")] = "small",
    optimizer: Annotated[
        str,
        typer.Option(
            "--optimizer",
            help="sgd, nesterov, adagrad, adadelta, adam, adabound, amsbound, a class of torch.optim (adamw) or any "
            "class by its dotted path (my_package.Lion).",
        ),
    ] = "adam",
    lr: Annotated[
        float | None, typer.Option("--lr", "--learning-rate", help="Learning rate (default: the optimizer's own).")
    ] = None,
    weight_decay: Annotated[float, typer.Option("--wd", "--weight-decay", min=0)] = 0.0,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="Another hyperparameter, e.g. -O momentum=0.95, -O amsgrad=true, -O 'betas=(0.9,0.99)'.",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 8,
    num_workers: Annotated[int, typer.Option("--num-workers", min=0)] = 0,
    pin_memory: Annotated[bool, typer.Option("--pin-memory/--no-pin-memory")] = False,
    prefetch_factor: Annotated[int | None, typer.Option("--prefetch-factor", min=1)] = None,
    persistent_workers: Annotated[bool, typer.Option("--persistent-workers/--no-persistent-workers")] = False,
    start_method: Annotated[str | None, typer.Option("--start-method", help="fork, spawn or forkserver.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1)] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1)] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="A budget of training time instead of --steps or --epochs.")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", help="Input side in pixels (default: the network's).")] = None,
    train_split: Annotated[str, typer.Option("--train-split")] = "train",
    val_split: Annotated[str, typer.Option("--val-split", help="Split scored during training.")] = "val",
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Score only images that have labelled people.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad images and annotations out, and count them.")
    ] = False,
    augment: Annotated[bool, typer.Option("--augment/--no-augment")] = True,
    foreground_weight: Annotated[
        float, typer.Option("--foreground-weight", min=1, help="Weight of cells where a map is on (1: published loss).")
    ] = 1.0,
    schedule: Annotated[
        str, typer.Option("--schedule", help="cosine, step or constant, after the warm-up.")
    ] = "cosine",
    warmup: Annotated[
        float, typer.Option("--warmup", min=0, max=1, help="Share of the budget with a rising rate.")
    ] = 0.05,
    frozen_backbone_epochs: Annotated[int, typer.Option("--frozen-backbone-epochs", min=0)] = 0,
    backbone_weights: Annotated[
        Path | None, typer.Option("--backbone-weights", metavar="FILE", help="torchvision's VGG19 state dict.")
    ] = None,
    targets: Annotated[
        str, typer.Option("--targets", help="Who makes the target maps: loader, device or auto (a GPU its own).")
    ] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="fp32 or bf16 (convolutions only).")] = "fp32",
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    log_every: Annotated[int, typer.Option("--log-every", min=1, help="Steps per measured window.")] = 10,
    val_every: Annotated[
        int | None, typer.Option("--val-every", min=1, help="Steps between validation losses.")
    ] = None,
    ap_every: Annotated[int | None, typer.Option("--ap-every", min=1, help="Steps between AP evaluations.")] = None,
    evaluations: Annotated[
        int | None, typer.Option("--evaluations", min=1, help="With --seconds: AP evaluations at equal shares of them.")
    ] = None,
    checkpoint_every: Annotated[int | None, typer.Option("--checkpoint-every", min=1)] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Checkpoints (default: runs/NETWORK-OPTIMIZER-seedN).")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from DIR/resume.pt.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Train a network; writes last.safetensors, best.safetensors, resume.pt and metrics.jsonl to --out."""
    from pydantic import ValidationError

    from bench.analysis import to_json_safe
    from bench.measure.gpu import GpuSampler
    from bench.optimizers import optimizer_entry
    from posemodel.config import AugmentSettings, LoaderSettings, TrainSettings, in_words
    from posemodel.device import choose_device
    from posemodel.errors import SettingsError
    from posemodel.training import train as run_train

    hyperparameters = {**_options(option or []), "weight_decay": weight_decay}
    if lr is not None:
        hyperparameters["lr"] = lr
    entry = optimizer_entry(optimizer)
    entry.check(hyperparameters)
    make_optimizer = entry.factory(hyperparameters)
    run_record = {"optimizer": optimizer, "hyperparameters": entry.resolve(hyperparameters)}
    try:
        settings = TrainSettings(
            data=data,
            train_split=train_split,
            val_split=val_split,
            labelled_only=labelled_only,
            skip_bad=skip_bad,
            network=network,
            size=size,
            backbone_weights=backbone_weights,
            frozen_backbone_epochs=frozen_backbone_epochs,
            steps=steps,
            epochs=epochs,
            seconds=seconds,
            schedule=schedule,  # type: ignore[arg-type]
            warmup=warmup,
            foreground_weight=foreground_weight,
            targets=targets,  # type: ignore[arg-type]
            precision=precision,  # type: ignore[arg-type]
            augment=AugmentSettings(enabled=augment),
            loader=LoaderSettings(
                batch_size=batch_size,
                num_workers=num_workers,
                pin_memory=pin_memory,
                prefetch_factor=prefetch_factor,
                persistent_workers=persistent_workers,
                start_method=start_method,  # type: ignore[arg-type]
            ),
            seed=seed,
            device=device,  # type: ignore[arg-type]
            log_every=log_every,
            val_every=val_every,
            ap_every=ap_every,
            evaluations=evaluations,
            checkpoint_every=checkpoint_every,
        )
    except ValidationError as error:
        raise SettingsError(f"{in_words(error)}.") from error
    out = out if out is not None else Path("runs") / f"{network}-{optimizer}-seed{seed}"
    if not resume and out.is_dir() and any(out.iterdir()):
        go_on = " --resume to go on with it, or" if (out / METRICS_FILE).is_file() else ""
        raise SettingsError(f"--out {out}: is not empty. Give{go_on} another folder.")
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out}: is a file; give a folder.")
    device_type = choose_device(settings.device).type
    metrics_file = _MetricsFile(out / METRICS_FILE)

    with progress_bar() as bar, GpuSampler(device_type) as gpu, _stop_on_interrupt() as should_stop:
        task = bar.add_task("training", total=settings.steps or settings.seconds)
        said = [-SAY_EVERY_S]

        def on_metrics(step: int, metrics: dict[str, float]) -> None:
            metrics = metrics | gpu.latest()
            metrics_file.add(to_json_safe({"step": step, **metrics}))
            bar.update(task, completed=step if seconds is None else metrics["train_seconds"])
            due = "val_loss" in metrics or (bar.disable and time.monotonic() - said[0] > SAY_EVERY_S)
            if due:
                said[0] = time.monotonic()
                log(_line(step, metrics)) if bar.disable else bar.console.print(_line(step, metrics), highlight=False)
            elif "loss" in metrics:
                bar.update(task, description=f"loss {metrics['loss']:.4f}")

        result = run_train(
            settings,
            make_optimizer,
            out=out,
            resume=resume,
            on_metrics=on_metrics,
            on_open=(lambda *splits: log_left_out(splits)) if skip_bad else None,
            run_record=run_record,
            should_stop=should_stop,
        )

    if result.status == "diverged":
        log(f"diverged by step {result.step}: the loss is no longer finite. A lower --lr may help.")
    document: dict[str, Any] = {"status": result.status, "steps": result.step, "out": str(out), **result.metrics}
    if as_json:
        print_json(to_json_safe(document))
    else:
        for key, value in document.items():
            print(f"{key:24} {value:.6g}" if isinstance(value, float) else f"{key:24} {value}")


@contextmanager
def _stop_on_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C or SIGTERM asks the loop to save its state and stop; a second Ctrl-C ends the process (`handled`)."""
    asked = []

    def ask(_signal: int, _frame: Any) -> None:
        if asked:
            return
        asked.append(True)
        log("stopping after this step; --resume goes on (Ctrl-C again to stop at once)")

    heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) != signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in heard}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _MetricsFile:
    """One JSON document a line. A resumed run takes some steps again: its first line replaces those from there on.

    (Skipping what is known would lose a validation that was cut short, since the line of its step's loss is there.)
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = False

    def add(self, document: dict[str, Any]) -> None:
        """Append a line that holds `step`."""
        if not self._begun:
            self._cut(document["step"])
            self._begun = True
        with self.path.open("a") as file:
            file.write(json.dumps(document) + "\n")

    def _cut(self, step: int) -> None:
        """Keep the lines of earlier steps; one that a kill has torn was of the last step, and goes."""
        lines = self.path.read_text().splitlines() if self.path.is_file() else []
        whole = [line for line in lines if line.startswith("{") and line.endswith("}")]
        with replacing(self.path) as temporary:
            temporary.write_text("".join(f"{line}\n" for line in whole if json.loads(line)["step"] < step))


def _line(step: int, metrics: dict[str, float]) -> str:
    names = ("loss", "val_loss", "ap", "images_per_s", "train_seconds")
    return f"step {step}: " + ", ".join(f"{name} {metrics[name]:.4g}" for name in names if name in metrics)


def _options(pairs: list[str]) -> "dict[str, Value]":
    from bench.optimizers.spaces import parse_value
    from posemodel.errors import SettingsError

    options: dict[str, Value] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise SettingsError(f"--option {pair}: must be NAME=VALUE.")
        if name in OWN_OPTIONS:
            raise SettingsError(f"--option {pair}: {name} has an option of its own: give {OWN_OPTIONS[name]} {value}.")
        if name in options:
            raise SettingsError(f"--option {pair}: {name} is given twice.")
        try:
            options[name] = parse_value(value)
        except ValueError as error:
            raise SettingsError(f"--option {pair}: {error}.") from error
    return options
