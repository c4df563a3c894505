"""`posebench eval`: COCO keypoint AP of a checkpoint, of a results file, or of perfect maps."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.averaging import Flip, Scales, parse_scales
from bench.cli.data_options import TrainAnnotations, TrainImages, ValAnnotations, ValImages, exif_of
from posemodel.errors import SettingsError

ORACLE_SIZE = 368
ORACLE_STRIDE = 8


def evaluate(
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", metavar="FILE", help="A checkpoint of posebench train.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option("--predictions", metavar="FILE", help="A COCO keypoint results file.")
    ] = None,
    annotations: Annotated[
        Path | None, typer.Option("--annotations", metavar="FILE", help="COCO annotations for --predictions.")
    ] = None,
    oracle: Annotated[bool, typer.Option("--oracle", help="Score maps made from the annotations themselves.")] = False,
    data: Annotated[Path | None, typer.Option("--data", metavar="DIR", help="A data set's folder.")] = None,
    train_annotations: TrainAnnotations = None,
    train_images: TrainImages = None,
    val_annotations: ValAnnotations = None,
    val_images: ValImages = None,
    split: Annotated[
        str | None, typer.Option("--split", help="train, select, report, val (the default) or another one.")
    ] = None,
    size: Annotated[
        int | None, typer.Option("--size", help=f"Input side (default: the checkpoint's; {ORACLE_SIZE} for --oracle).")
    ] = None,
    stride: Annotated[
        int | None, typer.Option("--stride", min=1, help=f"Pixels per cell, for --oracle (default: {ORACLE_STRIDE}).")
    ] = None,
    flip: Flip = False,
    scales: Scales = None,
    labelled_only: Annotated[
        bool, typer.Option("--labelled-only", help="Score only images that have labelled people.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave bad images and annotations out, and count them.")
    ] = False,
    exif: Annotated[
        str | None,
        typer.Option(
            "--exif", help="follow: turn pictures as their EXIF orientation says; ignore (default: as was trained)."
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1)] = 8,
    num_workers: Annotated[int, typer.Option("--num-workers", min=0)] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cuda, mps or cpu.")] = "auto",
    write_predictions: Annotated[
        Path | None, typer.Option("--write-predictions", metavar="FILE", help="Write a COCO results file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> None:
    """Score by pycocotools over all images of a split."""
    modes = [checkpoint is not None, predictions is not None, oracle]
    if sum(modes) != 1:
        raise SettingsError("eval: give one of --checkpoint FILE, --predictions FILE, --oracle.")
    named = {
        "train_annotations": train_annotations,
        "train_images": train_images,
        "val_annotations": val_annotations,
        "val_images": val_images,
    }
    _refuse_idle(
        {
            "--annotations": (annotations is not None, predictions is not None),
            "--data": (data is not None, predictions is None),
            "--split": (split is not None, predictions is None),
            "--exif": (exif is not None, predictions is None),
            **{f"--{name.replace('_', '-')}": (path is not None, predictions is None) for name, path in named.items()},
            "--size": (size is not None, predictions is None),
            "--stride": (stride is not None, oracle),
            "--flip": (flip, checkpoint is not None),
            "--scales": (scales is not None, checkpoint is not None),
            "--labelled-only": (labelled_only, predictions is None),
            "--write-predictions": (write_predictions is not None, checkpoint is not None),
        }
    )
    if predictions is not None and annotations is None:
        raise SettingsError("--annotations: --predictions needs the annotation file that it is scored against.")
    if predictions is None and data is None and not any(named.values()):
        raise SettingsError("--data: give the folder of the data set.")
    from bench.cli.actions.evaluate import score_predictions, score_split  # PyTorch: seconds that --help must not take

    if predictions is not None and annotations is not None:
        score_predictions(predictions, annotations, skip_bad=skip_bad, as_json=as_json)
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


def _refuse_idle(options: dict[str, tuple[bool, bool]]) -> None:
    """An option that would do nothing in this mode is a mistake: (given, of use) by option."""
    for option, (given, of_use) in options.items():
        if given and not of_use:
            raise SettingsError(f"{option}: has no effect on this kind of evaluation; leave it out.")
