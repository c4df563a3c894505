"""`posebench eval`: COCO keypoint AP of a checkpoint, of a results file, or of perfect maps."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.averaging import Flip, Scales, parse_scales
from bench.cli.data_options import (
    TrainAnnotations,
    TrainImages,
    ValAnnotations,
    ValImages,
    data_set,
    exif_of,
)
from bench.cli.output import log, log_notes, log_opened, print_json, print_table

if TYPE_CHECKING:
    from posemodel.averaging import Averaging
    from posemodel.data.coco import PackedSplit
    from posemodel.data.notes import Note
    from posemodel.evaluation import Scores

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
    from posemodel.errors import SettingsError

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
    if predictions is not None:
        if annotations is None:
            raise SettingsError("--annotations: --predictions needs the annotation file that it is scored against.")
        from posemodel.data.left_out import NOTHING
        from posemodel.data.notes import NONE as NO_NOTES
        from posemodel.evaluation import score_file

        left_out, notes = [NOTHING], [NO_NOTES]
        scores = score_file(
            predictions, annotations, skip_bad=skip_bad, on_left_out=left_out.append, on_notes=notes.append
        )
        if skip_bad:
            log(f"left out: {left_out[-1]} ({annotations})")
        log_notes(notes[-1])
        _show(scores, left_out[-1].as_metrics(), notes[-1], as_json)
        return
    if data is None and not any(named.values()):
        raise SettingsError("--data: give the folder of the data set.")
    whole = data_set(data, named)
    from posemodel.averaging import Averaging
    from posemodel.data.coco import open_split
    from posemodel.network.weights import trained_exif

    # The oracle reads no pixels; but with the flag it scores the images that a checkpoint would be scored on.
    packed = open_split(
        whole,
        split or "val",
        skip_bad=skip_bad,
        look_at_images=skip_bad or not oracle,
        exif=exif_of(exif) if exif is not None or checkpoint is None else trained_exif(checkpoint),
    )
    log_opened([packed])
    if labelled_only:
        packed = packed.labelled_only()
    if checkpoint is not None:
        scores, extra = _checkpoint_scores(
            checkpoint,
            packed,
            size,
            batch_size,
            num_workers,
            device,
            write_predictions,
            Averaging.checked(flip=flip, scales=parse_scales(scales)),
        )
    else:
        scores, extra = _oracle_scores(
            packed, ORACLE_SIZE if size is None else size, ORACLE_STRIDE if stride is None else stride
        )
    _show(scores, {**extra, **packed.left_out.as_metrics()}, packed.notes, as_json)


def _refuse_idle(options: dict[str, tuple[bool, bool]]) -> None:
    """An option that would do nothing in this mode is a mistake: (given, of use) by option."""
    from posemodel.errors import SettingsError

    for option, (given, of_use) in options.items():
        if given and not of_use:
            raise SettingsError(f"{option}: has no effect on this kind of evaluation; leave it out.")


def _checkpoint_scores(
    checkpoint: Path,
    packed: "PackedSplit",
    size: int | None,
    batch_size: int,
    num_workers: int,
    device: str,
    write_predictions: Path | None,
    averaging: "Averaging",
) -> tuple["Scores", dict[str, Any]]:
    from posemodel.averaging import Averaging
    from posemodel.config import LoaderSettings
    from posemodel.device import choose_device
    from posemodel.errors import SettingsError
    from posemodel.network import input_geometry
    from posemodel.network.weights import load_network
    from posemodel.prediction import predict_split

    if write_predictions is not None and write_predictions.exists():
        raise SettingsError(f"--write-predictions {write_predictions}: exists; it is not overwritten.")
    chosen = choose_device(device)  # type: ignore[arg-type]
    network, info = load_network(checkpoint, chosen)
    geometry = input_geometry(info.network, info.size if size is None else size)
    loader_settings = LoaderSettings(batch_size=batch_size, num_workers=num_workers)
    scorer = predict_split(network, packed, geometry, chosen, loader_settings, averaging=averaging)
    if write_predictions is not None:
        scorer.write_predictions(write_predictions)
    used = (
        {"flip": averaging.flip, "scales": ",".join(f"{scale:g}" for scale in averaging.scales)}
        if averaging != Averaging()
        else {}
    )
    return scorer.stats(), {"network": info.network, "size": geometry.size, **used}


def _oracle_scores(packed: "PackedSplit", size: int, stride: int) -> tuple["Scores", dict[str, Any]]:
    from pydantic import ValidationError

    from posemodel.config import InputSettings, in_words
    from posemodel.errors import SettingsError
    from posemodel.oracle import ceiling_scores, oracle_scores

    try:
        geometry = InputSettings(size=size, stride=stride)
    except ValidationError as error:
        raise SettingsError(f"--size: {in_words(error)}.") from error
    ceiling = ceiling_scores(packed).ap
    return oracle_scores(packed, geometry), {"ceiling": ceiling, "size": size, "stride": stride}


def _show(scores: "Scores", extra: dict[str, Any], notes: "tuple[Note, ...]", as_json: bool) -> None:
    document = {**scores.as_row(), **extra}
    if as_json:
        print_json({**document, "notes": [note.as_row() for note in notes]})
        return
    cells = [[key, "-" if v is None else f"{v:.4f}" if isinstance(v, float) else str(v)] for key, v in document.items()]
    print_table(("measure", "value"), cells)
