"""`posebench data`: check, describe and draw a data set, or generate a synthetic one."""

from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from bench.cli.actions.data_synth import make
from bench.cli.data_options import (
    Category,
    ExifOption,
    Sigmas,
    SkeletonFile,
    TrainAnnotations,
    TrainImages,
    ValAnnotations,
    ValImages,
    data_options,
    exif_of,
)
from bench.cli.output import log, print_json, print_line

app = typer.Typer(help="Check, describe, draw or generate data sets.", no_args_is_help=True, rich_markup_mode=None)

Directory = Annotated[
    Path | None, typer.Argument(metavar="DIR", help="Data set folder, in COCO's or another known layout.")
]


@app.command()
def check(
    directory: Directory = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    category: Category = None,
    skeleton_file: SkeletonFile = None,
    sigmas: Sigmas = None,
    exif: ExifOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Find problems in a data set, and count its images and people.

    Counts images, people, crowds and unlabelled people, lists every problem, notes values that are read otherwise than
    they are written, and describes the keypoints and limbs that a network will learn. Exits 1 if there is a problem.
    """
    named = data_options(locals())
    _actions().check(directory, named, exif=exif_of(exif), as_json=as_json)


@app.command()
def synth(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write; new, or left by an interrupted run.")
    ],
    images: Annotated[
        int, typer.Option("--images", min=3, help="Number of images, split 8 : 1 : 1 into train, select and val.")
    ],
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed; the same seed gives the same files.")] = 0,
    num_workers: Annotated[
        int | None,
        typer.Option("--num-workers", min=0, help="Rendering processes (default: one per core, 0 for a small set)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Generate a synthetic data set with exact COCO annotations.

    After an interruption, the same command goes on.
    """
    counts = make_synthetic(directory, images, seed, num_workers=num_workers)
    if as_json:
        print_json({"directory": str(directory), "images": sum(counts.values()), "splits": counts})
    else:
        print_line(f"{directory}: " + ", ".join(f"{count} {name}" for name, count in counts.items()))


@app.command()
def stats(
    directory: Directory = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    category: Category = None,
    skeleton_file: SkeletonFile = None,
    sigmas: Sigmas = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.png", help="File of the figure (default: data-stats-NAME.png)."),
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out bad images and annotations, and count them, instead of stopping."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Print and draw statistics of a data set's annotations.

    For each split: people, their sizes and views, labelled joints, crowds, and people cut off by the border.
    """
    named = data_options(locals())
    _actions().stats(directory, named, out, skip_bad=skip_bad, as_json=as_json)


@app.command()
def show(
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", help="File to draw to; must not exist.")],
    directory: Directory = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    category: Category = None,
    skeleton_file: SkeletonFile = None,
    sigmas: Sigmas = None,
    exif: ExifOption = None,
    index: Annotated[
        int | None, typer.Option("--index", help="Index of the sample, from 0, by ascending image id.")
    ] = None,
    skeleton: Annotated[
        bool,
        typer.Option(
            "--skeleton",
            help="Draw one object with numbered keypoints, limbs and their names instead: that of the image --index "
            "(default: of any) with the most labelled keypoints.",
        ),
    ] = False,
    split: Annotated[
        str, typer.Option("--split", help="Split: train, select, report, val or another one of the data set.")
    ] = "train",
    labelled_only: Annotated[
        bool,
        typer.Option("--labelled-only", help="Count --index only over images with labelled people, as training does."),
    ] = False,
    size: Annotated[
        int | None,
        typer.Option("--size", help="Side of the input in pixels (default: the network's, or 368 with --stride)."),
    ] = None,
    network: Annotated[
        str | None, typer.Option("--network", help="Network whose input and maps are drawn (default: small).")
    ] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", min=1, help="Input pixels per map cell, instead of a network's.")
    ] = None,
    augment: Annotated[
        bool,
        typer.Option(
            "--augment/--no-augment", help="Draw the sample augmented as in training, or plain as in scoring."
        ),
    ] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the training run whose sample is drawn.")] = 0,
    epoch: Annotated[int, typer.Option("--epoch", min=0, help="Epoch of the training run, from 0.")] = 0,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out bad images and annotations, and count them, instead of stopping."),
    ] = False,
) -> None:
    """Draw a sample as the network gets it, or the keypoints to learn.

    The figure shows the input, the people, ignored regions, heatmaps and part affinity fields: a sample with its
    target maps. With --skeleton, it shows the keypoints by number and name, in colours for left and right.
    """
    named = data_options(locals())
    if skeleton:
        without_effect = {
            "--size": size is not None,
            "--network": network is not None,
            "--stride": stride is not None,
            "--no-augment": not augment,
            "--seed": seed != 0,
            "--epoch": epoch != 0,
        }
        for option in (option for option, is_given in without_effect.items() if is_given):
            raise typer.BadParameter("has no effect on --skeleton, which draws no sample", param_hint=option)
        _actions().show_skeleton(
            directory,
            named,
            index,
            out,
            split=split,
            labelled_only=labelled_only,
            skip_bad=skip_bad,
            exif=exif_of(exif),
        )
        return
    if index is None:
        raise typer.BadParameter("give the number of a sample, or --skeleton", param_hint="--index")
    _actions().show_sample(
        directory,
        named,
        index,
        out,
        split=split,
        labelled_only=labelled_only,
        size=size,
        network=network,
        stride=stride,
        augment=augment,
        seed=seed,
        epoch=epoch,
        skip_bad=skip_bad,
        exif=exif_of(exif),
    )


def _actions() -> ModuleType:
    """Import the actions on an existing data set."""
    from bench.cli.actions import data  # PyTorch, OpenCV, Matplotlib: seconds that --help must not take

    return data


def make_synthetic(directory: Path, images: int, seed: int, *, num_workers: int | None = None) -> dict[str, int]:
    """Generate a synthetic set with a progress bar, or keep a complete one; returns images by split."""
    return make(directory, images, seed, num_workers=num_workers)


def make_default_data(folder: Path, images: int, seed: int) -> None:
    """Generate the synthetic set of a study that names no data."""
    log(f"data: {folder} ({images} synthetic images)")
    make_synthetic(folder, images, seed)
