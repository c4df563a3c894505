"""`posebench study joint`: one search over optimizer, hyperparameters and loader settings."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.data_options import ExifOption, TrainAnnotations, TrainImages, ValAnnotations, ValImages
from bench.cli.study import parts_of, spaces_given

KIND = "joint"


def joint(
    study: Annotated[
        Path | None, typer.Option("--study", metavar="FILE", help="A TOML study file, over the preset.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="A data set's folder (default: synthetic people, generated)."),
    ] = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    exif: ExifOption = None,
    network: Annotated[
        str | None, typer.Option("--network", help="rtpose_vgg, openpose_2019, lightweight or small.")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", help="Input side in pixels.")] = None,
    preset: Annotated[
        str | None, typer.Option("--preset", help="smoke, small or full (default: full with a GPU, else small).")
    ] = None,
    objective: Annotated[
        str | None, typer.Option("--objective", help="ap-and-speed (a front of both) or ap-at-time.")
    ] = None,
    sampler: Annotated[str | None, typer.Option("--sampler", help="tpe, random or quasi-random.")] = None,
    optimizers: Annotated[
        str | None,
        typer.Option(
            "--optimizers", metavar="A,B", help="Ours, torch.optim's (adamw), or by dotted path (my_package.Lion)."
        ),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="NAME:lr=log(A,B),...",
            help="An optimizer's space (its own lr without one); repeatable.",
        ),
    ] = None,
    num_workers: Annotated[str | None, typer.Option("--num-workers", metavar="0,1,2,4")] = None,
    pin_memory: Annotated[str | None, typer.Option("--pin-memory", metavar="both|true|false")] = None,
    batch_size: Annotated[str | None, typer.Option("--batch-size", metavar="8,16,32")] = None,
    trials: Annotated[int | None, typer.Option("--trials", min=1, help="Search trials.")] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Fresh seeds with which each pick is trained again.")
    ] = None,
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="Images that each trial trains on (ap-and-speed).")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option("--seconds", help="Seconds of training of each trial (ap-at-time).")
    ] = None,
    schedule: Annotated[str | None, typer.Option("--schedule", help="constant, cosine or step.")] = None,
    weight_decay: Annotated[float | None, typer.Option("--wd", "--weight-decay", min=0)] = None,
    device: Annotated[str | None, typer.Option("--device", help="auto, cuda, mps or cpu.")] = None,
    skip_bad: Annotated[
        bool | None, typer.Option("--skip-bad/--no-skip-bad", help="Leave bad images and annotations out.")
    ] = None,
    precision: Annotated[str | None, typer.Option("--precision", help="fp32 or bf16 (convolutions only).")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Default: kind-preset-data folder.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Trials that run at once; their speeds share the machine.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Search a good configuration: optimizer, hyperparameters, num_workers, pin_memory and batch size at once.

    What it finds is trained again with fresh seeds. Interrupted, the same command goes on.
    """
    from bench.cli.planned import run_kind

    command_line = {
        "data": data,
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
        "exif": exif,
        "network": network,
        "size": size,
        "objective": objective,
        "sampler": sampler,
        "optimizers": parts_of(optimizers),
        "spaces": spaces_given(space),
        "num_workers": num_workers,
        "pin_memory": pin_memory,
        "batch_size": batch_size,
        "trials": trials,
        "seeds": seeds,
        "images": images,
        "seconds": seconds,
        "schedule": schedule,
        "weight_decay": weight_decay,
        "device": device,
        "skip_bad": skip_bad,
        "precision": precision,
        "name": name,
        "workers": workers,
    }
    run_kind(KIND, command_line, study, preset, dry_run=dry_run, as_json=as_json)
