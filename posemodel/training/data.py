"""What a run trains on and is scored on: the two splits, and their loaders."""

from dataclasses import dataclass, replace

import numpy as np
from torch.utils.data import DataLoader

from posemodel.config import InputSettings, TrainSettings
from posemodel.data.batch import Batch
from posemodel.data.coco import PackedSplit, left_out_of, notes_of, open_split
from posemodel.data.dataset import PoseDataset, targets_in_workers
from posemodel.data.derived import REPORT, SELECT, VAL, stands_in
from posemodel.data.layout import DataSet
from posemodel.data.left_out import LeftOut
from posemodel.data.loader import PoseLoader, build_loader, validation_loader
from posemodel.data.notes import Note
from posemodel.data.sampler import EpochSampler
from posemodel.errors import DataError
from posemodel.training.processes import Team


@dataclass(frozen=True)
class TrainingData:
    """The split trained on, its loader and the sampler whose ``epoch`` and ``skip`` is set before each pass; the split
    scored and its loader; what was left out of both, and what was read differently.
    """

    train_split: PackedSplit
    loader: PoseLoader
    sampler: EpochSampler
    val_split: PackedSplit
    val_loader: DataLoader[Batch]
    left_out: LeftOut
    notes: tuple[Note, ...]


def open_training_splits(settings: TrainSettings) -> tuple[PackedSplit, PackedSplit]:
    """The images trained on (those with labelled people) and the split scored; the two never share a derived tenth."""
    data, scored = data_set_of(settings), settings.val_split
    train_split = open_split(
        data,
        settings.train_split,
        hold_out_select=settings.hold_out_select or scored == SELECT,
        # A data set with a `report` of its own needs no `val`, but for who asks for it.
        hold_out_val=scored == VAL or ((settings.hold_out_select or scored == REPORT) and stands_in(data, REPORT)),
        skip_bad=settings.skip_bad,
        exif=settings.exif,
    )
    train_split = train_split.labelled_only()
    if not len(train_split):
        raise DataError(f"{train_split.annotations}: no image with a labelled person is left to train on.")
    val_split = open_split(data, scored, skip_bad=settings.skip_bad, exif=settings.exif)
    if settings.labelled_only:
        val_split = val_split.labelled_only()
    if not len(val_split):
        raise DataError(f"{val_split.annotations}: no image with a labelled person is left to score.")
    if settings.val_images is not None and settings.val_images < len(val_split):
        val_split = val_split.subset(np.linspace(0, len(val_split) - 1, settings.val_images).round().astype(np.int64))
    return train_split, with_note_of_sameness(train_split, val_split)


def data_set_of(settings: TrainSettings) -> DataSet:
    """The data set that a run's settings name."""
    return DataSet(settings.data, settings.files)


def with_note_of_sameness(train_split: PackedSplit, val_split: PackedSplit) -> PackedSplit:
    """The split scored, with a note where its images are trained on: the same files, or a copy of the same split."""
    copied = np.array_equal(train_split.truth.keypoints, val_split.truth.keypoints)
    if train_split.folder != val_split.folder and not copied:
        return val_split
    trained_on = {*zip(_ids(train_split), train_split.file_names(), strict=True)}
    scored = [*zip(_ids(val_split), val_split.file_names(), strict=True)]
    count = sum(image in trained_on for image in scored)
    if not count:
        return val_split
    share = f"all {count}" if count == len(scored) else f"{count} of the {len(scored)}"
    text = f"{share} images that are scored are trained on too: the score tells what was learned by heart"
    note = Note(val_split.annotations, "scored-on-train", count, text)
    return replace(val_split, notes=(*val_split.notes, note))


def _ids(split: PackedSplit) -> list[int]:
    return [split.image_id(position) for position in range(len(split))]


def open_training_data(settings: TrainSettings, geometry: InputSettings, team: Team) -> TrainingData:
    """Splits and loaders of a run; each process of ``team`` gets its part of every step's images.

    Raises DataError, and SettingsError where an epoch has no whole step.
    """
    train_split, val_split = open_training_splits(settings)
    with_targets = targets_in_workers(settings.targets, team.device)
    dataset = PoseDataset(
        train_split, geometry, augment=settings.augment, seed=settings.seed, with_targets=with_targets
    )
    # Pinning is for copies to a CUDA device; on any other it would only cost memory.
    pin_memory = settings.loader.pin_memory and team.device.type == "cuda"
    loader_settings = settings.loader.model_copy(update={"pin_memory": pin_memory})
    loader, sampler = build_loader(
        dataset,
        loader_settings,
        training=True,
        seed=settings.seed,
        accumulate=settings.accumulate,
        process=(team.rank, team.size),
    )
    val_loader = validation_loader(val_split, geometry, loader_settings, with_targets=with_targets)
    both = (train_split, val_split)
    return TrainingData(train_split, loader, sampler, val_split, val_loader, left_out_of(both), notes_of(both))
