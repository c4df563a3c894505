"""Train a pose network for a trial with the loop of `posemodel`; score and sample the trained network."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from bench.workloads.protocol import MakeOptimizer, OnMetrics, Samples, Split, Trained
from posemodel.config import TrainSettings
from posemodel.data.layout import DataSet
from posemodel.data.loader import validation_loader
from posemodel.data.open_split import PackedSplit, open_split
from posemodel.device import choose_device
from posemodel.network import PoseNetwork, input_geometry, network_geometry
from posemodel.network.cost import cost_of
from posemodel.network.own import is_own
from posemodel.scoring.samples import as_jpeg, draw_samples, predict_samples
from posemodel.skeleton import COCO_PERSON
from posemodel.training.loop import train
from posemodel.training.run import BEST_FILE, LAST_FILE
from posemodel.training.validation import Validation, validate

NETWORK = "network_"
"""Prefix of the metrics `parameters`, `gmacs` and `size` of a network that its name does not tell."""


def train_pose(
    run: TrainSettings,
    make_optimizer: MakeOptimizer,
    *,
    on_metrics: OnMetrics | None,
    should_prune: Callable[[float], bool] | None,
    should_stop: Callable[[], bool] | None,
    should_save: Callable[[], bool] | None,
    on_saved: Callable[[], object] | None,
    folder: Path | None,
) -> Trained:
    """Train once, see `Workload.train`; an existing ``folder`` is resumed."""
    opened: list[PackedSplit] = []

    def saved() -> None:
        _leave_weights_out(folder)
        if on_saved is not None:
            on_saved()

    try:
        result = train(
            run,
            make_optimizer,
            out=folder,
            resume=folder is not None and folder.is_dir(),
            on_metrics=on_metrics,
            on_open=lambda _trained_on, scored_on: opened.append(scored_on),
            should_stop=should_stop,
            should_prune=should_prune,
            should_save=should_save,
            on_saved=saved,
        )
    except KeyboardInterrupt:
        _leave_weights_out(folder)
        raise

    @cache  # AP and losses of a split come from one pass over it
    def validation_on(split: Split) -> Validation:
        return _validated(run, result.network, split)

    return Trained(
        result.status,
        result.step,
        result.metrics | _cost(run, result.network),
        score_on=lambda split: _ap(validation_on(split)),
        losses_on=lambda split: _losses(validation_on(split)),
        samples=lambda: _samples(run, result.network, opened[0]),
    )


def _leave_weights_out(folder: Path | None) -> None:
    """Remove the weights beside a trial's state, which has them: what is copied to go on elsewhere is half as large."""
    if folder is not None:
        for name in (LAST_FILE, BEST_FILE):
            (folder / name).unlink(missing_ok=True)


def _cost(run: TrainSettings, network: PoseNetwork) -> dict[str, float]:
    """Return the cost of a network whose name does not tell it to a report: a user's class, or for another skeleton."""
    if not is_own(network) and network.skeleton == COCO_PERSON:
        return {}
    geometry = network_geometry(network, run.size)
    cost = cost_of(network, geometry.size)
    return {f"{NETWORK}{name}": value for name, value in {**cost, "size": geometry.size}.items()}


def _validated(run: TrainSettings, network: PoseNetwork, name: Split) -> Validation:
    split = open_split(
        DataSet(run.data, run.files), name, skip_bad=run.skip_bad, exif=run.exif, skeleton=network.skeleton
    )
    geometry = input_geometry(run.network, run.size)
    loader = validation_loader(split, geometry, run.loader)
    return validate(
        *(network, loader, split, geometry, choose_device(run.device)),
        foreground_weight=run.foreground_weight,
        with_scores=True,
        with_reference=True,
    )


def _ap(validation: Validation) -> float:
    assert validation.scores is not None
    assert validation.scores.ap is not None, "the splits of a study have labelled people"
    return validation.scores.ap


def _losses(validation: Validation) -> dict[str, float]:
    assert validation.reference_loss is not None
    return {"val_loss": validation.loss, "reference_loss": validation.reference_loss}


def _samples(run: TrainSettings, network: PoseNetwork, split: PackedSplit) -> Samples:
    """Find people with the trained network in the sample images of the split that it was scored on, and draw them."""
    geometry = input_geometry(run.network, run.size)
    document = predict_samples(
        network, split, run.data, geometry, choose_device(run.device), batch_size=run.loader.batch_size
    )
    sheet = draw_samples(document, run.data, exif=run.exif)
    return Samples(document, None if sheet is None else as_jpeg(sheet))
