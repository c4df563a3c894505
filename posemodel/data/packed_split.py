"""A split as packed arrays: people, ignore mask and pixels of each image, by position.

Everything is in a few NumPy arrays instead of Python objects, so that forked workers share the memory (no reference
counts change). Spawned workers map the file that the arrays were mapped from (see ``index_cache``), or get them through
shared memory if there is none.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from posemodel.config import Exif
from posemodel.data import index_cache
from posemodel.data.annotations.categories import noun_of
from posemodel.data.annotations.segmentation import complement
from posemodel.data.images.files import decode_image, file_fault, image_path
from posemodel.data.left_out import NOTHING_LEFT_OUT, LeftOut
from posemodel.data.notes import Note
from posemodel.data.truth import Truth
from posemodel.errors import DataError
from posemodel.skeleton import COCO_PERSON, Skeleton

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class PackedSplit:
    """One split. Images are addressed by position 0..len-1; a person is a non-crowd object with labelled keypoints.

    image_ids (N,) int64, ascending; sizes (N, 2) int32 width, height; names: all file names, joined; name_start (N +
    1,). person_rows (P,): rows of ``truth`` that are people; those of image n are
    person_rows[person_start[n]:person_start[n + 1]], with person_start (N + 1,); other starts likewise. Segmentations
    (regions) are kept only for images with something to ignore. region_start (N + 1,): rows of region_ignored (R,) bool
    (True: a crowd or a person without keypoints; False: a labelled person, who is never ignored). A region is polygons
    (region_polygon_start (R + 1,) -> polygon_start (Q + 1,) -> points (M, 2) float64) or compressed RLE
    (region_rle_start (R + 1,) -> rle bytes). All starts and rows are int64. categories: ids of the categories that are
    read, ascending. Objects of any kind are called people here: ``skeleton`` says what they are.

    Example:
        split = open_split("coco", "val")
        split.people(0)  # (N, P, 3): x, y in pixels, visibility; P = split.skeleton.num_parts
    """

    name: str
    annotations: str
    folder: str
    image_ids: NDArray[np.int64]
    sizes: NDArray[np.int32]
    names: NDArray[np.uint8]
    name_start: NDArray[np.int64]
    person_start: NDArray[np.int64]
    person_rows: NDArray[np.int64]
    region_start: NDArray[np.int64]
    region_ignored: NDArray[np.bool_]
    region_polygon_start: NDArray[np.int64]
    polygon_start: NDArray[np.int64]
    points: NDArray[np.float64]
    region_rle_start: NDArray[np.int64]
    rle: NDArray[np.uint8]
    categories: NDArray[np.int64]
    truth: Truth
    """The people that predictions are scored against, in all images, including those that ``subset`` leaves out."""
    skeleton: Skeleton
    """The keypoints of ``truth``, and the parts and limbs that are learned."""
    positions_kept: NDArray[np.int64] | None = None
    """Positions kept of the full split (see ``subset``); None keeps all."""
    left_out: LeftOut = NOTHING_LEFT_OUT
    """Bad entries of the annotation file that were left out, including those of other splits of the same file."""
    notes: tuple[Note, ...] = ()
    """Notes on entries of the annotation file that were read differently than they are written."""
    skip_bad: bool = False
    """Whether the split was opened with ``skip_bad``."""
    exif: Exif = "ignore"
    """`follow`: images are turned by their EXIF orientation, and ``sizes`` are those after turning; `ignore`: as
    stored."""
    file_of_name: Mapping[str, str] = field(default_factory=dict)
    """Annotated name -> file below ``folder``, for names that are not the file's (see ``images.matching``)."""
    mapped_from: str | None = None
    """The file of ``index_cache`` that the arrays are mapped from; None: they are in memory."""

    def __post_init__(self) -> None:
        self._shared: dict[str, torch.Tensor]  # no field: it is neither compared nor copied
        object.__setattr__(self, "_shared", {})

    @classmethod
    def from_arrays(
        cls,
        arrays: Arrays,
        *,
        name: str,
        annotations: str,
        folder: str,
        left_out: LeftOut = NOTHING_LEFT_OUT,
        notes: tuple[Note, ...] = (),
        mapped_from: str | None = None,
    ) -> "PackedSplit":
        """Build a split from the arrays of ``packing.packed_arrays``."""
        split_arrays, truth = _split_and_truth(arrays)
        return cls(
            **split_arrays,
            truth=truth,
            skeleton=Skeleton.from_document(json.loads(arrays[_SKELETON].tobytes())),
            name=name,
            annotations=annotations,
            folder=folder,
            left_out=left_out,
            notes=notes,
            mapped_from=mapped_from,
        )

    def __len__(self) -> int:
        return len(self.image_ids) if self.positions_kept is None else len(self.positions_kept)

    def __getstate__(self) -> dict[str, Any]:
        names = [each.name for each in fields(self) if each.name not in (*_ARRAYS, "truth")]
        state = {name: getattr(self, name) for name in names}
        if self.mapped_from is None or not Path(self.mapped_from).is_file():
            state |= {"mapped_from": None, "arrays": self._in_shared_memory()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        tensors = state.pop("arrays", None)
        if tensors is None:
            arrays = index_cache.load(Path(state["mapped_from"]), STORED_NAMES)
            if arrays is None:
                raise DataError(
                    f"{state['mapped_from']}: this index of {state['annotations']} was removed or damaged while a "
                    "worker started. Start again: it will be rebuilt."
                )
        else:
            arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        split_arrays, truth = _split_and_truth(arrays)
        for name, value in {**state, **split_arrays, "truth": truth, "_shared": tensors or {}}.items():
            object.__setattr__(self, name, value)

    def _in_shared_memory(self) -> dict[str, torch.Tensor]:
        # Tensors in shared memory are passed to spawned workers by handle; NumPy arrays would be copied into each.
        # The tensors are kept, so that the next epoch's workers map the same memory.
        if not self._shared:
            arrays = {name: getattr(self, name) for name in _ARRAYS}
            arrays |= {f"{_TRUTH}{name}": getattr(self.truth, name) for name in _TRUTH_ARRAYS}
            for name, array in arrays.items():  # copied: PyTorch warns of read-only arrays
                self._shared[name] = torch.from_numpy(np.array(array)).share_memory_()
            split_arrays, truth = _split_and_truth({name: tensor.numpy() for name, tensor in self._shared.items()})
            for name, value in {**split_arrays, "truth": truth, "mapped_from": None}.items():
                object.__setattr__(self, name, value)
        return self._shared

    def _row(self, position: int) -> int:
        return position if self.positions_kept is None else int(self.positions_kept[position])

    def subset(self, positions: Iterable[int] | NDArray[np.int64]) -> "PackedSplit":
        """Return a split of only these positions, which shares the arrays without copying."""
        rows = np.array(positions if isinstance(positions, np.ndarray) else list(positions), np.int64)
        return replace(self, positions_kept=rows if self.positions_kept is None else self.positions_kept[rows])

    def labelled_only(self) -> "PackedSplit":
        """Return only the images with at least one labelled person."""
        people = np.diff(self.person_start)
        return self.subset(np.flatnonzero(people if self.positions_kept is None else people[self.positions_kept]))

    def digest(self) -> str:
        """Return a short digest of the image ids; it identifies the set of images."""
        ids = self.image_ids if self.positions_kept is None else self.image_ids[self.positions_kept]
        return hashlib.sha256(np.ascontiguousarray(ids).tobytes()).hexdigest()[:16]

    @property
    def noun(self) -> str:
        """Word for one of the annotated objects in texts: person or object."""
        return noun_of(self.skeleton.name)

    @property
    def category(self) -> int:
        """Lowest id of the categories that are read (1 in COCO), for results files."""
        return int(self.categories[0])

    def image_id(self, position: int) -> int:
        """Return COCO's id of the image."""
        return int(self.image_ids[self._row(position)])

    def size(self, position: int) -> tuple[int, int]:
        """Return the annotated (width, height) in pixels."""
        width, height = self.sizes[self._row(position)]
        return int(width), int(height)

    def path(self, position: int) -> Path:
        """Return the image file."""
        name = self._name(self._row(position))
        return image_path(self.folder, self.file_of_name.get(name, name))

    def file_names(self) -> Iterator[str]:
        """Yield the annotated names of the images, by position."""
        return (self._name(self._row(position)) for position in range(len(self)))

    def _name(self, row: int) -> str:
        return self.names[self.name_start[row] : self.name_start[row + 1]].tobytes().decode()

    def people_count(self, position: int) -> int:
        """Return the number of labelled people."""
        row = self._row(position)
        return int(self.person_start[row + 1] - self.person_start[row])

    def keypoints(self, position: int) -> NDArray[np.float32]:
        """Return labelled people in the annotations' order: (N, K, 3) of x, y in pixels and visibility 0, 1, 2."""
        row = self._row(position)
        return self.truth.keypoints[self.person_rows[self.person_start[row] : self.person_start[row + 1]]]

    def people(self, position: int) -> NDArray[np.float32]:
        """Return labelled people with derived parts, in the heatmaps' order: (N, P, 3) of x, y and visibility."""
        return self.skeleton.to_parts(self.keypoints(position))

    def in_order(self, skeleton: Skeleton, order: tuple[int, ...]) -> "PackedSplit":
        """Return the split with another skeleton; ``order`` (K,) is the index of each of its keypoints here."""
        if order == tuple(range(len(order))):
            return replace(self, skeleton=skeleton)
        truth = replace(self.truth, keypoints=np.ascontiguousarray(self.truth.keypoints[:, order]))
        return replace(self, truth=truth, skeleton=skeleton, mapped_from=None)

    def read_image(self, position: int) -> NDArray[np.uint8]:
        """Return BGR pixels (height, width, 3), turned as ``exif`` says.

        Raises DataError unless the file is readable and of the annotated size.
        """
        path = self.path(position)
        image = decode_image(path, exif=self.exif)
        width, height = self.size(position)
        if image is None or image.shape[:2] != (height, width):
            fault = file_fault(path, width, height, decode=True, exif=self.exif)
            text = "cannot be decoded" if fault is None else fault.text
            raise DataError(
                f"{path}: {text} (image id {self.image_id(position)}). Repair the file or remove its entry; "
                "`posebench data check` lists every one."
            )
        return image

    def ignore_mask(self, position: int) -> NDArray[np.uint8] | None:
        """Return a mask (height, width) uint8, 1 where the loss ignores the image; None if nothing is ignored.

        Crowds and people without keypoints are ignored, but never labelled people. The mask is stored column by column,
        as pycocotools decodes it.
        """
        row = self._row(position)
        first, last = int(self.region_start[row]), int(self.region_start[row + 1])
        if not self.region_ignored[first:last].any():
            return None
        # Regions are united run by run; decoding each and combining pixels takes several times as long.
        ignored = coco_mask.merge([self._region(r, row) for r in range(first, last) if self.region_ignored[r]])
        labelled = [self._region(r, row) for r in range(first, last) if not self.region_ignored[r]]
        if labelled:
            united = coco_mask.merge(labelled)
            elsewhere = united | {"counts": complement(united["counts"])}
            ignored = coco_mask.merge([ignored, elsewhere], intersect=True)
        mask: NDArray[np.uint8] = coco_mask.decode(ignored)
        return mask

    def _region(self, region: int, row: int) -> dict[str, Any]:
        """Return a region of an image of these sides as compressed RLE."""
        width, height = self.sizes[row].tolist()
        counts = self.rle[self.region_rle_start[region] : self.region_rle_start[region + 1]].tobytes()
        if counts:
            return {"size": [height, width], "counts": counts}
        polygons = [
            self.points[self.polygon_start[q] : self.polygon_start[q + 1]].ravel().tolist()
            for q in range(self.region_polygon_start[region], self.region_polygon_start[region + 1])
        ]
        united: dict[str, Any] = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
        return united


class _SplitArrays(TypedDict):
    """Types of the array fields of ``PackedSplit`` (except those in its truth)."""

    image_ids: NDArray[np.int64]
    sizes: NDArray[np.int32]
    names: NDArray[np.uint8]
    name_start: NDArray[np.int64]
    person_start: NDArray[np.int64]
    person_rows: NDArray[np.int64]
    region_start: NDArray[np.int64]
    region_ignored: NDArray[np.bool_]
    region_polygon_start: NDArray[np.int64]
    polygon_start: NDArray[np.int64]
    points: NDArray[np.float64]
    region_rle_start: NDArray[np.int64]
    rle: NDArray[np.uint8]
    categories: NDArray[np.int64]


_ARRAYS = tuple(_SplitArrays.__annotations__)
_TRUTH = "truth."
"""Prefix of the names of the truth's arrays. Its image ids are not stored again: they are the split's."""
_TRUTH_ARRAYS = tuple(each.name for each in fields(Truth) if each.name != "image_ids")
_SKELETON = "skeleton"
"""Name of the array that holds the skeleton and the category's name as JSON."""
ARRAY_NAMES = (*_ARRAYS, _SKELETON, *(f"{_TRUTH}{name}" for name in _TRUTH_ARRAYS))
"""Names of all arrays that ``packing.packed_arrays`` makes."""
NOTES = "notes"
"""Name of the array that holds the notes in ``index_cache``, see ``notes.to_bytes``."""
STORED_NAMES = (*ARRAY_NAMES, NOTES)
"""Names of all arrays of a file of ``index_cache``."""


def _split_and_truth(arrays: Arrays) -> tuple[_SplitArrays, Truth]:
    truth = Truth(image_ids=arrays["image_ids"], **{name: arrays[f"{_TRUTH}{name}"] for name in _TRUTH_ARRAYS})
    return cast("_SplitArrays", {name: arrays[name] for name in _ARRAYS}), truth


def people_from_coco(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert COCO keypoints (N, 17, 3) to people (N, 18, 3) with a neck, see ``Skeleton.to_parts``."""
    return COCO_PERSON.to_parts(keypoints)


def people_to_coco(people: NDArray[np.floating]) -> NDArray[np.float64]:
    """Convert people (N, 18, 3) to COCO's order (N, 17, 3), without the neck."""
    return COCO_PERSON.to_keypoints(people)
