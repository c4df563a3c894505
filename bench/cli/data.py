"""`posebench data`: look at a data set before training on it, or make one."""

from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from bench.cli.actions.data_synth import make
from bench.cli.data_options import ExifOption, TrainAnnotations, TrainImages, ValAnnotations, ValImages, exif_of
from bench.cli.output import log, print_json, print_line

app = typer.Typer(
    help="Check data sets, describe them, make synthetic ones.", no_args_is_help=True, rich_markup_mode=None
)

Directory = Annotated[Path | None, typer.Argument(metavar="DIR", help="A data set's folder, in a known layout.")]


@app.command()
def check(
    directory: Directory = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    exif: ExifOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Count images, people, crowds and unlabelled people; name every problem, and what is read differently.

    Exits 1 if there is a problem.
    """
    named = {
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
    }
    _actions().check(directory, named, exif=exif_of(exif), as_json=as_json)


@app.command()
def synth(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write; a new or unfinished set.")],
    images: Annotated[int, typer.Option("--images", min=3, help="Images in all (8 : 1 : 1 train, select, val).")],
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same bytes.")] = 0,
    num_workers: Annotated[
        int | None,
        typer.Option("--num-workers", min=0, help="Processes (default: one for each core, 0 for a small set)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Render people as JPEGs with exact COCO annotations; interrupted, the same command goes on."""
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
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.png", help="Where to draw the figure (default: data-stats-<name>.png)."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad images and annotations out, and count them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Print and draw what the annotations hold: people, sizes, joints, borders, crowds, views; split by split."""
    named = {
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
    }
    _actions().stats(directory, named, out, skip_bad=skip_bad, as_json=as_json)


@app.command()
def show(
    index: Annotated[int, typer.Option("--index", help="Which sample, from 0 on, by ascending image id.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", help="Where to draw it; a new file.")],
    directory: Directory = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    exif: ExifOption = None,
    split: Annotated[str, typer.Option("--split", help="train, select, report, val or another one.")] = "train",
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Number only images with labelled people, as training does.")
    ] = False,
    size: Annotated[int | None, typer.Option("--size", help="Input side (default: the network's; 368).")] = None,
    network: Annotated[str | None, typer.Option("--network", help="Whose input and maps (default: small).")] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", min=1, help="Pixels per cell, instead of a network's.")
    ] = None,
    augment: Annotated[bool, typer.Option("--augment/--no-augment", help="As in training, or as in scoring.")] = True,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the run whose sample it is.")] = 0,
    epoch: Annotated[int, typer.Option("--epoch", min=0, help="In which the sample is taken.")] = 0,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad images and annotations out, and count them.")
    ] = False,
) -> None:
    """Draw one sample as the network gets it: the input, the people, what is ignored, heatmaps and fields."""
    named = {
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
    }
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
    """What these verbs do with a data set that stands."""
    from bench.cli.actions import data  # PyTorch, OpenCV, Matplotlib: seconds that --help must not take

    return data


def make_synthetic(directory: Path, images: int, seed: int, *, num_workers: int | None = None) -> dict[str, int]:
    """Generate a synthetic set with a progress bar; a complete one is left as it is."""
    return make(directory, images, seed, num_workers=num_workers)


def make_default_data(folder: Path, images: int, seed: int) -> None:
    """The synthetic set of a study without data of its own."""
    log(f"data: {folder} ({images} synthetic images)")
    make_synthetic(folder, images, seed)
