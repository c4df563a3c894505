"""Make the skeleton of a data set: what its category and the user say, and what both leave open, derived.

COCO's 17 keypoints in COCO's order are ``COCO_PERSON``. For any other keypoints, limbs are those of the category's
`skeleton`; if they are missing, or leave parts unconnected, the shortest ones that connect all parts are added
(`spanning_limbs`). Mirror pairs come from the names (`mirror_names`). Sigmas are COCO's for keypoints with COCO's
names, and ``DEFAULT_SIGMA`` for others. Each derivation is a sentence in the skeleton's ``remarks``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posemodel.data.annotations.categories import plain_name
from posemodel.data.annotations.listed_pairs import end_number, first_number, listed_numbers
from posemodel.data.annotations.mirror_names import mirror_pairs
from posemodel.data.annotations.skeleton_choice import NO_CHOICE, SkeletonChoice, read_choice
from posemodel.data.annotations.spanning_limbs import (
    Distances,
    connected,
    connecting_limbs,
    measure_distances,
    measured_objects,
)
from posemodel.errors import DataError, did_you_mean
from posemodel.skeleton import COCO_KEYPOINTS, COCO_PERSON, DEFAULT_SIGMA, Skeleton

__all__ = ["NO_CHOICE", "SkeletonChoice", "build_skeleton", "read_choice", "with_chosen_sigmas"]

OFF_CENTRE = 1 / 3
"""Difference of a point's mean distances to a left and a right point, relative to their sum, from which it counts as
lying on one side: the point on the cheek of a face has 0.7, a nose or a tail about 0."""
ENOUGH_OBJECTS = 30
"""Minimum number of objects in which three points are labelled for such a difference to count."""
_SHOWN = 3
"""Maximum number of names that a remark lists."""
_COCO_SIGMA = {plain_name(name): sigma for name, sigma in zip(COCO_KEYPOINTS, COCO_PERSON.sigmas, strict=True)}
Pairs = list[tuple[int, int]]


def build_skeleton(
    name: str,
    keypoints: Sequence[str],
    pairs: Any = None,
    labelled: NDArray[np.floating] | None = None,
    choice: SkeletonChoice = NO_CHOICE,
) -> Skeleton:
    """Make the skeleton of a category.

    Args:
        name: The category's name.
        keypoints: Names of its K keypoints; those that the user gave are among them (see ``find_categories``).
        pairs: The category's `skeleton` as it is in the file: pairs of keypoints by number or name; anything that is
            no such list counts as missing, with a remark.
        labelled: Annotated objects (N, K, 3) of x, y and visibility, from which missing limbs are derived.
        choice: What the user says about the keypoints; it counts more than the file.

    Raises DataError that names the user's file, the field and the remedy.

    Example:
        build_skeleton("hand", ["wrist", "thumb", "index"], [[1, 2], [1, 3]]).limbs  # ((0, 1), (0, 2))
    """
    name = choice.name or name
    is_coco = [plain_name(each) for each in keypoints] == [plain_name(each) for each in COCO_KEYPOINTS]
    if is_coco and choice.limbs is None and not choice.derived:
        return _coco_person(choice)
    derived = choice.derived
    if is_coco and not derived and any("neck" in limb for limb in choice.limbs or ()):
        keypoints, derived = COCO_KEYPOINTS, COCO_PERSON.derived
    derived = _named_sources(keypoints, derived, choice)
    sigmas, sigma_remarks = _sigmas(keypoints, choice)
    try:
        skeleton = Skeleton(name, tuple(keypoints), limbs=(), sigmas=sigmas, derived=derived)
    except ValueError as error:
        where = f"{choice.file}: " if choice.file else ""
        raise DataError(f"{where}{error}: give each point a name of its own, in the file or by `keypoints`.") from error
    distances = _distances(skeleton, labelled)
    mirror, mirror_remarks = _mirror(skeleton, distances, choice)
    skeleton = replace(skeleton, mirror=mirror)
    limbs, limb_remarks = _limbs(skeleton, pairs, distances, choice)
    return replace(skeleton, limbs=limbs, remarks=(*limb_remarks, *mirror_remarks, *sigma_remarks))


def with_chosen_sigmas(skeleton: Skeleton, choice: SkeletonChoice) -> Skeleton:
    """Return a skeleton, such as a network's, with the OKS sigmas that the user chose, if any are chosen.

    Sigmas without names are in the order of the skeleton's keypoints. Raises DataError as ``build_skeleton`` does.
    """
    if choice.sigmas is not None:
        return replace(skeleton, sigmas=_sigmas(skeleton.keypoints, choice)[0])
    names = [_known(skeleton.keypoints, name, "sigmas", choice, choice.sigmas_file) for name, _ in choice.sigma_of]
    chosen = dict(zip(names, (sigma for _, sigma in choice.sigma_of), strict=True))
    old = zip(skeleton.keypoints, skeleton.sigmas, strict=True)
    return replace(skeleton, sigmas=tuple(chosen.get(name, sigma) for name, sigma in old)) if chosen else skeleton


def _coco_person(choice: SkeletonChoice) -> Skeleton:
    person = COCO_PERSON
    if choice.name:
        person = replace(person, name=choice.name)
    if choice.mirror is not None:
        person = replace(person, mirror=_named_pairs(person.parts, choice.mirror, "mirror", choice))
    return with_chosen_sigmas(person, choice)


def _sigmas(keypoints: Sequence[str], choice: SkeletonChoice) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the sigma of each keypoint, and a remark unless all are the user's."""
    if choice.sigmas is not None:
        if len(choice.sigmas) != len(keypoints):
            raise DataError(
                f"{choice.sigmas_file}: sigmas: there are {len(choice.sigmas)}, but {len(keypoints)} keypoints: give "
                f"one for each, in the order {_listed(keypoints)}; or a table of names and numbers."
            )
        return choice.sigmas, ()
    given = {_known(keypoints, name, "sigmas", choice, choice.sigmas_file): sigma for name, sigma in choice.sigma_of}
    cocos = {name: _COCO_SIGMA[plain_name(name)] for name in keypoints if plain_name(name) in _COCO_SIGMA}
    values = tuple(given.get(name, cocos.get(name, DEFAULT_SIGMA)) for name in keypoints)
    from_coco = sum(name in cocos and name not in given for name in keypoints)
    default = len(keypoints) - from_coco - len(given)
    sources = [f"COCO's for {from_coco} with its names"] * bool(from_coco)
    sources += [f"{DEFAULT_SIGMA} (OpenPifPaf's for cars) for {default}"] * bool(default)
    if not sources:
        return values, ()
    start = f"{len(given)} given; " if given else ""
    return values, (f"sigmas: {start}{', '.join(sources)}; AP depends on them: --sigmas FILE gives others",)


def _mirror(
    skeleton: Skeleton, distances: Distances, choice: SkeletonChoice
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """Return the mirror pairs, with remarks on why there are none or on doubtful names."""
    if choice.mirror is not None:
        given = _named_pairs(skeleton.parts, choice.mirror, "mirror", choice)
        return given, _missing_pairs(skeleton, given)
    pairs, remarks = mirror_pairs(skeleton.parts)
    if not pairs:
        return (), (*remarks, "no mirror pairs in the names: pictures are not flipped")
    one_sided = _one_sided(replace(skeleton, mirror=pairs), distances)
    if one_sided:
        text = (
            f"pictures are not flipped: {_listed(one_sided)} lie on one side, and no name says what mirrors them; "
            "`mirror` in a skeleton file gives the pairs"
        )
        return (), (*remarks, text)
    return pairs, remarks


def _missing_pairs(skeleton: Skeleton, given: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """Return a remark on pairs that the names say and the given ones lack or turn round."""
    said = mirror_pairs(skeleton.parts)[0] if given else ()
    turned = [f"{left}/{right}" for left, right in said if (right, left) in given]
    lacking = [f"{left}/{right}" for left, right in said if not {(left, right), (right, left)} & {*given}]
    remarks = []
    if turned:
        remarks.append(f"mirror: the names say that the first is the right one of {_listed(turned)}")
    if lacking:
        remarks.append(
            f"mirror: the given pairs lack {_listed(lacking)}, which the names say: a flip does not exchange them"
        )
    return tuple(remarks)


def _one_sided(skeleton: Skeleton, distances: Distances) -> list[str]:
    """Return the parts without a mirror image that lie nearer to the left or the right points in the mean."""
    paired = {name for pair in skeleton.mirror for name in pair}
    number = {name: index for index, name in enumerate(skeleton.parts)}
    left, right = (np.array([number[pair[side]] for pair in skeleton.mirror], np.int64) for side in (0, 1))
    found = []
    for part in (name for name in skeleton.parts if name not in paired):
        near, far = distances.mean[number[part], left], distances.mean[number[part], right]
        enough = np.minimum(distances.together[number[part], left], distances.together[number[part], right])
        total = np.where(enough >= ENOUGH_OBJECTS, near + far, np.inf)
        if (np.abs(near - far) > OFF_CENTRE * total).any():
            found.append(part)
    return found


def _limbs(
    skeleton: Skeleton, pairs: Any, distances: Distances, choice: SkeletonChoice
) -> tuple[tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Return the limbs given by the user or the file, completed so that they connect all parts, with remarks."""
    remarks: list[str] = []
    number = {name: index for index, name in enumerate(skeleton.parts)}
    if choice.limbs is not None:
        named = _named_pairs(skeleton.parts, choice.limbs, "limbs", choice)
        given = _distinct((number[start], number[end]) for start, end in named)
    else:
        given, remarks = _file_limbs(pairs, skeleton.keypoints)
    if connected(skeleton.num_parts, given):
        return tuple(given), tuple(remarks)
    added = connecting_limbs(given, distances, skeleton.flipped_parts)
    apart = sum(not distances.together[limb] for limb in added)
    text = (
        f"limbs: {len(given)} given; {len(added)} added by a minimum spanning tree over the mean distances of points "
        f"labelled together in {distances.objects} objects"
    )
    text += f" ({apart} of them between points that never are)" * bool(apart)
    return (*given, *added), (*remarks, text)


def _file_limbs(pairs: Any, keypoints: Sequence[str]) -> tuple[Pairs, list[str]]:
    """Return the limbs of a category's `skeleton`, and a remark on entries that are no limb."""
    if pairs is None or pairs == []:
        return [], []
    if not isinstance(pairs, (list, tuple)):
        return [], ["limbs: the category's `skeleton` is no list of pairs: it is not used"]
    ends = [_ends(pair, keypoints) for pair in pairs]
    first = first_number(pairs, len(keypoints))
    known = range(first, len(keypoints) + first)
    beyond = [pair for pair in ends if pair and any(isinstance(end, int) and end not in known for end in pair)]
    if len(beyond) > 1:
        # CrowdPose's files have COCO's pairs beside 14 points of their own: those in range are wrong too.
        return [], [
            f"limbs: {len(beyond)} of the {len(pairs)} entries of the category's `skeleton` name points beyond its "
            f"{len(keypoints)} keypoints: it belongs to others and is not used"
        ]
    limbs: Pairs = []
    for pair in ends:
        if pair is not None and pair not in beyond:
            start, end = (place - first if isinstance(place, int) else keypoints.index(place) for place in pair)
            if start != end:  # a number and a name can be the same point
                limbs.append((start, end))
    limbs = _distinct(limbs)
    remarks = []
    if first == 0:
        remarks.append("limbs: the category's `skeleton` counts keypoints from 0, not from 1 as COCO does")
    elif (numbers := listed_numbers(pairs)) and len(keypoints) not in numbers:
        remarks.append(
            f"limbs: the category's `skeleton` has neither 0 nor {len(keypoints)}: its numbers are taken as counted "
            "from 1, as COCO does"
        )
    if len(limbs) < len(pairs):
        left_out = len(pairs) - len(limbs)
        remarks.append(
            f"limbs: {left_out} of the {len(pairs)} entries of the category's `skeleton` are left out: they join no "
            "two keypoints, or two that are joined already"
        )
    return limbs, remarks


def _ends(pair: Any, keypoints: Sequence[str]) -> tuple[int | str, int | str] | None:
    """Return a pair of the file as numbers or names of keypoints; None if it is no such pair."""
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        return None
    ends: list[int | str] = []
    for end in pair:
        if (number := end_number(end)) is not None:
            ends.append(number)
        elif isinstance(end, str) and (name := _found(keypoints, end)) is not None:
            ends.append(name)
        else:
            return None
    return None if ends[0] == ends[1] else (ends[0], ends[1])


def _distinct(limbs: Iterable[tuple[int, int]]) -> Pairs:
    """Return limbs without those that join the same points again."""
    return list({frozenset(limb): limb for limb in reversed(list(limbs))}.values())[::-1]


def _distances(skeleton: Skeleton, labelled: NDArray[np.floating] | None) -> Distances:
    if labelled is None:
        labelled = np.zeros((0, skeleton.num_keypoints, 3), np.float32)
    return measure_distances(skeleton.to_parts(labelled[measured_objects(labelled[..., 2] > 0)]))


def _named_sources(
    keypoints: Sequence[str], derived: tuple[tuple[str, tuple[str, ...]], ...], choice: SkeletonChoice
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(
        (name, tuple(_known(keypoints, source, f"derived.{name}", choice) for source in sources))
        for name, sources in derived
    )


def _named_pairs(
    parts: Sequence[str], pairs: tuple[tuple[str, str], ...], field: str, choice: SkeletonChoice
) -> tuple[tuple[str, str], ...]:
    """Return pairs by the skeleton's own spelling of names; DataError for unknown names and for a name twice."""
    named = [(_known(parts, start, field, choice), _known(parts, end, field, choice)) for start, end in pairs]
    for start, end in named:
        if start == end:
            raise DataError(f"{choice.file}: {field}: pairs {start} with itself: name two points.")
    everywhere = [name for pair in named for name in pair]
    twice = next((name for name in everywhere if field == "mirror" and everywhere.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{choice.file}: mirror: names {twice} in two pairs: a point has one mirror image.")
    return tuple(named)


def _known(names: Sequence[str], name: str, field: str, choice: SkeletonChoice, file: str = "") -> str:
    """Return a name as the skeleton spells it; DataError if there is no such point."""
    found = _found(names, name)
    if found is None:
        raise DataError(
            f"{file or choice.file}: {field}: there is no point {name!r}.{did_you_mean(name, names)} "
            f"Points: {', '.join(names)}."
        )
    return found


def _found(names: Sequence[str], name: str) -> str | None:
    """Return the name that is equal, else the only one that differs in case and separators alone; None without one."""
    if name in names:
        return name
    same = [each for each in names if plain_name(each) == plain_name(name)]
    return same[0] if len(same) == 1 else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
