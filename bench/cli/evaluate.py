"""`posebench eval`: COCO keypoint AP of a checkpoint, of a results file, or of maps made from the annotations."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.averaging import Flip, Scales, parse_scales
from bench.cli.data_options import (
    KEYPOINT_OPTIONS,
    Category,
    Sigmas,
    SkeletonFile,
    TrainAnnotations,
    TrainImages,
    ValAnnotations,
    ValImages,
    data_options,
    exif_of,
)
from posemodel.errors import SettingsError

ORACLE_SIZE = 368
"""Default side of the input in pixels for --oracle."""
ORACLE_STRIDE = 8
"""Default input pixels per map cell for --oracle."""


def evaluate(
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="Score this checkpoint of `posebench train`.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", metavar="FILE", help="Score this COCO keypoint results file.")
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", metavar="FILE", help="COCO annotations to score --predictions against."),
    ] = None,
    oracle: Annotated[bool, typer.Option("--oracle", help="Score perfect maps, made from the annotations.")] = False,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Data set folder, in COCO's or another known layout.")
    ] = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    category: Category = None,
    skeleton_file: SkeletonFile = None,
    sigmas: Sigmas = None,
    split: Annotated[
        str | None, typer.Option("--split", help="Split to score: train, select, report, val (default) or another one.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(
            "--size", help=f"Side of the input in pixels (default: the checkpoint's; {ORACLE_SIZE} for --oracle)."
        ),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option("--stride", min=1, help=f"For --oracle: input pixels per map cell (default: {ORACLE_STRIDE})."),
    ] = None,
    flip: Flip = False,
    scales: Scales = None,
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Score only images with labelled people.")
    ] = False,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave out bad images and annotations, and count them, instead of stopping."),
    ] = False,
    exif: Annotated[
        str | None,
        typer.Option(
            "--exif",
            help="follow: rotate pictures by their EXIF orientation; ignore: use pixels as stored (default: as in "
            "training).",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images per batch.")] = 8,
    num_workers: Annotated[
        int,
        typer.Option("--num-workers", min=0, help="Worker processes that load images; 0: load in the main process."),
    ] = 0,
    device: Annotated[
        str, typer.Option("--device", help="Device: auto (a GPU if there is one), cuda, mps or cpu.")
    ] = "auto",
    write_predictions: Annotated[
        Path | None,
        typer.Option("--write-predictions", metavar="FILE", help="File for the COCO keypoint results; must not exist."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one JSON document on stdout.")] = False,
) -> None:
    """Score a checkpoint or a predictions file by COCO keypoint AP.

    pycocotools computes the scores, over all images of a split.
    """
    named = data_options(locals())
    modes = [checkpoint is not None, predictions is not None, oracle]
    if sum(modes) != 1:
        raise SettingsError("eval: give one of --checkpoint FILE, --predictions FILE, --oracle.")
    _refuse_unused(
        {
            "--annotations": (annotations is not None, predictions is not None),
            "--data": (data is not None, predictions is None),
            "--split": (split is not None, predictions is None),
            "--exif": (exif is not None, predictions is None),
            **{
                f"--{name.replace('_', '-')}": (path is not None, predictions is None)
                for name, path in named.items()
                if name not in KEYPOINT_OPTIONS
            },
            "--size": (size is not None, predictions is None),
            "--stride": (stride is not None, oracle),
            "--flip": (flip, checkpoint is not None),
            "--scales": (scales is not None, checkpoint is not None),
            "--labelled-only": (labelled_only, predictions is None),
            "--write-predictions": (write_predictions is not None, checkpoint is not None),
        }
    )
    if predictions is not None and annotations is None:
        raise SettingsError("--annotations: give the annotation file to score --predictions against.")
    if predictions is None and data is None and not any(named.values()):
        raise SettingsError("--data: give the folder of the data set.")
    from bench.cli.actions.evaluate import score_predictions, score_split  # PyTorch: seconds that --help must not take

    if predictions is not None and annotations is not None:
        score_predictions(predictions, annotations, named, skip_bad=skip_bad, as_json=as_json)
        return
    score_split(
        data,
        named,
        split or "val",
        checkpoint,
        size=ORACLE_SIZE if size is None and oracle else size,
        stride=ORACLE_STRIDE if stride is None else stride,
        flip=flip,
        scales=parse_scales(scales),
        labelled_only=labelled_only,
        skip_bad=skip_bad,
        exif=exif_of(exif) if exif is not None or checkpoint is None else None,
        batch_size=batch_size,
        num_workers=num_workers,
        device=device,
        write_predictions=write_predictions,
        as_json=as_json,
    )


def _refuse_unused(options: dict[str, tuple[bool, bool]]) -> None:
    """Raise SettingsError for an option without effect in this mode; ``options``: (is given, has an effect) by
    option."""
    for option, (is_given, has_effect) in options.items():
        if is_given and not has_effect:
            raise SettingsError(f"{option}: has no effect on this kind of evaluation; leave it out.")
