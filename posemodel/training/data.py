"""The data of a training run: its training split, its validation split, and their loaders."""

from dataclasses import dataclass, replace

import numpy as np
from torch.utils.data import DataLoader

from posemodel.config import InputSettings, TrainSettings
from posemodel.data.batch import Batch
from posemodel.data.dataset import PoseDataset, targets_in_workers
from posemodel.data.derived import REPORT, SELECT, VAL, is_derived
from posemodel.data.layout import DataSet
from posemodel.data.left_out import LeftOut
from posemodel.data.loader import PoseLoader, build_loader, validation_loader
from posemodel.data.notes import Note
from posemodel.data.open_split import PackedSplit, collect_notes, count_left_out, open_split
from posemodel.data.sampler import EpochSampler
from posemodel.errors import DataError
from posemodel.training.processes import Team


@dataclass(frozen=True)
class TrainingData:
    """Splits and loaders of a run, with a report on the annotations."""

    train_split: PackedSplit
    loader: PoseLoader
    sampler: EpochSampler
    """Order of the training samples; its ``epoch`` and ``skip`` are set before each pass."""
    val_split: PackedSplit
    val_loader: DataLoader[Batch]
    left_out: LeftOut
    """Bad images and annotations that were skipped in both splits."""
    notes: tuple[Note, ...]
    """Notes on annotations of both splits that were read differently than they are written."""


def open_training_splits(settings: TrainSettings) -> tuple[PackedSplit, PackedSplit]:
    """Open the training images (those with labelled people) and the validation split.

    If a tenth of `train` stands in for a missing split, its images are not trained on. Raises DataError if no labelled
    image is left.
    """
    data, scored = data_set_of(settings), settings.val_split
    train_split = open_split(
        data,
        settings.train_split,
        hold_out_select=settings.hold_out_select or scored == SELECT,
        # A data set that has a split `report` needs no `val`, unless the settings name it.
        hold_out_val=scored == VAL or ((settings.hold_out_select or scored == REPORT) and is_derived(data, REPORT)),
        skip_bad=settings.skip_bad,
        exif=settings.exif,
    )
    train_split = train_split.labelled_only()
    if not len(train_split):
        raise DataError(f"{train_split.annotations}: no image with a labelled {train_split.noun} is left to train on.")
    val_split = open_split(data, scored, skeleton=train_split.skeleton, skip_bad=settings.skip_bad, exif=settings.exif)
    if settings.labelled_only:
        val_split = val_split.labelled_only()
    if not len(val_split):
        raise DataError(f"{val_split.annotations}: no image with a labelled {val_split.noun} is left to score.")
    if settings.val_images is not None and settings.val_images < len(val_split):
        val_split = val_split.subset(np.linspace(0, len(val_split) - 1, settings.val_images).round().astype(np.int64))
    train_split = replace(train_split, notes=(*train_split.notes, *_skeleton_notes(train_split)))
    return train_split, noting_shared_images(train_split, val_split)


def _skeleton_notes(split: PackedSplit) -> list[Note]:
    """Return what was derived for the split's skeleton because the file leaves it open, as notes."""
    kinds = {word: f"skeleton-{word}" for word in ("limbs", "sigmas")}
    return [
        Note(split.annotations, kinds.get(remark.partition(":")[0], "skeleton-mirror"), 1, remark)
        for remark in split.skeleton.remarks
    ]


def data_set_of(settings: TrainSettings) -> DataSet:
    """Return the data set that a run's settings name."""
    return DataSet(settings.data, settings.files)


def noting_shared_images(train_split: PackedSplit, val_split: PackedSplit) -> PackedSplit:
    """Return the validation split, with a note if the run trains on its images too (the same files, or copies)."""
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


def open_training_data(
    settings: TrainSettings, splits: tuple[PackedSplit, PackedSplit], geometry: InputSettings, team: Team
) -> TrainingData:
    """Open the loaders of a run's splits; each process of ``team`` gets its share of every step's images.

    Raises SettingsError if an epoch is shorter than one step.
    """
    train_split, val_split = splits
    with_targets = targets_in_workers(settings.targets, team.device)
    dataset = PoseDataset(
        train_split, geometry, augment=settings.augment, seed=settings.seed, with_targets=with_targets
    )
    # Pinned memory speeds up copies to a CUDA device; for other devices it would only cost memory.
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
    return TrainingData(train_split, loader, sampler, val_split, val_loader, count_left_out(both), collect_notes(both))
