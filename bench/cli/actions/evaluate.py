"""Action of `posebench eval`: score a checkpoint, a results file or perfect maps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.cli.actions.data_sets import data_set
from bench.cli.output import log, log_notes, log_opened, print_json, print_table
from posemodel.config import DataFiles, Exif, InputSettings, LoaderSettings, first_problem
from posemodel.data.annotations.categories import plain_name
from posemodel.data.annotations.skeletons import read_choice
from posemodel.data.layout import DataSet, folder_of
from posemodel.data.left_out import NOTHING_LEFT_OUT
from posemodel.data.notes import NO_NOTES, Note
from posemodel.data.open_split import PackedSplit, open_split
from posemodel.device import choose_device
from posemodel.errors import SettingsError
from posemodel.inference.averaging import Averaging
from posemodel.network import PoseNetwork, input_geometry
from posemodel.network.weights import CheckpointInfo, load_network
from posemodel.scoring.evaluation import predict_split
from posemodel.scoring.oracle import ceiling_scores, oracle_scores
from posemodel.scoring.results_file import score_file
from posemodel.scoring.scorer import Scores


def score_predictions(
    predictions: Path, annotations: Path, named: Mapping[str, Any], *, skip_bad: bool, as_json: bool
) -> None:
    """Score a COCO results file against annotations, and print the scores; ``named``: fields of ``DataFiles``."""
    left_out, notes = [NOTHING_LEFT_OUT], [NO_NOTES]
    scores = score_file(
        predictions,
        annotations,
        choice=read_choice(DataSet(folder_of(annotations), DataFiles.model_validate(named))),
        skip_bad=skip_bad,
        on_left_out=left_out.append,
        on_notes=notes.append,
    )
    if skip_bad:
        log(f"left out: {left_out[-1]} ({annotations})")
    log_notes(notes[-1])
    _show(scores, left_out[-1].as_metrics(), notes[-1], as_json)


def score_split(
    data: Path | None,
    named: Mapping[str, Any],
    split: str,
    checkpoint: Path | None,
    *,
    size: int | None,
    stride: int,
    flip: bool,
    scales: tuple[float, ...],
    labelled_only: bool,
    skip_bad: bool,
    exif: Exif | None,
    batch_size: int,
    num_workers: int,
    device: str,
    write_predictions: Path | None,
    as_json: bool,
) -> None:
    """Score a checkpoint, or without one the maps made from the annotations, and print the scores.

    ``exif`` None: as in the checkpoint's training.
    """
    if write_predictions is not None and write_predictions.exists():
        raise SettingsError(
            f"--write-predictions {write_predictions}: exists; it is not overwritten. Give another name."
        )
    dataset = data_set(data, named)
    loaded = None if checkpoint is None else load_network(checkpoint, choose_device(device))  # type: ignore[arg-type]
    # The oracle needs no pixels; but --skip-bad must leave out the same images as for a checkpoint.
    packed = open_split(
        dataset,
        split,
        skip_bad=skip_bad,
        look_at_images=skip_bad or checkpoint is not None,
        exif=exif or ("ignore" if loaded is None else loaded[0].trained_exif),
        skeleton=None if loaded is None else loaded[0].skeleton,
    )
    log_opened([packed])
    if loaded is not None:
        _log_other_category(loaded[1], dataset)
    if labelled_only:
        packed = packed.labelled_only()
    if loaded is not None:
        averaging = Averaging.checked(flip=flip, scales=scales)
        scores, extra = _checkpoint_scores(*loaded, packed, size, batch_size, num_workers, write_predictions, averaging)
    else:
        assert size is not None
        scores, extra = _oracle_scores(packed, size, stride)
    _show(scores, {**extra, **packed.left_out.as_metrics()}, packed.notes, as_json)


def _log_other_category(info: CheckpointInfo, data: DataSet) -> None:
    """Log that a checkpoint was trained on another category (`--category`) than is scored, if so."""
    files, scored = info.training.get("files"), read_choice(data).category
    trained = files.get("category") if isinstance(files, dict) else None
    if trained is not None and (scored is None or plain_name(scored) != plain_name(trained)):
        what = "are all categories with its keypoints" if scored is None else f"is {scored}"
        log(f"note: the checkpoint was trained with --category {trained}; scored {what}")


def _checkpoint_scores(
    network: PoseNetwork,
    info: CheckpointInfo,
    packed: PackedSplit,
    size: int | None,
    batch_size: int,
    num_workers: int,
    write_predictions: Path | None,
    averaging: Averaging,
) -> tuple[Scores, dict[str, Any]]:
    geometry = input_geometry(info.network, info.size if size is None else size)
    loader_settings = LoaderSettings(batch_size=batch_size, num_workers=num_workers)
    device = next(network.parameters()).device
    scorer = predict_split(network, packed, geometry, device, loader_settings, averaging=averaging)
    if write_predictions is not None:
        scorer.write_predictions(write_predictions)
    averaged_over = (
        {"flip": averaging.flip, "scales": ",".join(f"{scale:g}" for scale in averaging.scales)}
        if averaging != Averaging()
        else {}
    )
    return scorer.stats(), {"network": info.network, "size": geometry.size, **averaged_over}


def _oracle_scores(packed: PackedSplit, size: int, stride: int) -> tuple[Scores, dict[str, Any]]:
    try:
        geometry = InputSettings(size=size, stride=stride)
    except ValidationError as error:
        raise SettingsError(f"--size: {first_problem(error)}.") from error
    ceiling = ceiling_scores(packed).ap
    return oracle_scores(packed, geometry), {"ceiling": ceiling, "size": size, "stride": stride}


def _show(scores: Scores, extra: dict[str, Any], notes: tuple[Note, ...], as_json: bool) -> None:
    document = {**scores.as_row(), **extra}
    if as_json:
        print_json({**document, "notes": [note.as_row() for note in notes]})
        return
    cells = [[key, "-" if v is None else f"{v:.4f}" if isinstance(v, float) else str(v)] for key, v in document.items()]
    print_table(("measure", "value"), cells)
