"""A bright blob drawn at a keypoint is followed through the warp: image and keypoints must agree."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posemodel.config import AugmentSettings, InputSettings
from posemodel.data.augment import BORDER_RGB, Warp, _seen, letterbox, random_colour, random_warp
from posemodel.data.dataset import PoseDataset
from posemodel.data.images.files import decode_image, decode_reduced
from posemodel.data.open_split import open_split
from posemodel.skeleton import COCO_PERSON
from tests.support.coco_builder import CocoBuilder
from tests.support.examples import few
from tests.support.plain_targets import plain_pafs

SIZE = 64
SEED = st.integers(0, 2**32 - 1)
RADIUS = 1.8
"""Standard deviation of the blob in source pixels."""
PARTS = ("nose", "right_wrist", "left_ankle")


def blob(width: int, height: int, x: float, y: float) -> np.ndarray:
    across = np.exp(-0.5 * ((np.arange(width) - x) / RADIUS) ** 2)
    down = np.exp(-0.5 * ((np.arange(height) - y) / RADIUS) ** 2)
    return np.rint(255 * down[:, None] * across[None]).astype(np.uint8)


def centroid(plane: np.ndarray) -> tuple[float, float]:
    y, x = np.mgrid[: plane.shape[0], : plane.shape[1]]
    return float((plane * x).sum() / plane.sum()), float((plane * y).sum() / plane.sum())


@st.composite
def scenes(draw: st.DrawFn) -> tuple[int, int, np.ndarray]:
    """Image width and height, and three points that lie well inside it."""
    width, height = draw(st.integers(36, 110)), draw(st.integers(36, 110))
    margin = 4 * RADIUS
    points = [
        (draw(st.floats(margin, width - 1 - margin)), draw(st.floats(margin, height - 1 - margin))) for _ in PARTS
    ]
    return width, height, np.array(points)


def follow(width: int, height: int, points: np.ndarray, seed: int) -> tuple[bool, int]:
    """Warp an image with a blob at each point; whether it was flipped and how many blobs stayed inside."""
    person = np.zeros((1, 18, 3), np.float32)
    image = np.zeros((height, width, 3), np.uint8)
    for channel, (name, (x, y)) in enumerate(zip(PARTS, points, strict=True)):
        person[0, COCO_PERSON.parts.index(name)] = x, y, 2
        image[..., channel] = blob(width, height, x, y)
    warp = random_warp(np.random.default_rng(seed), width, height, person, SIZE, AugmentSettings())
    moved = warp.people(person, COCO_PERSON)[0]
    # The difference to the same warp of nothing: what the border is filled with cancels out.
    seen = warp.image(image, SIZE).astype(float) - warp.image(np.zeros_like(image), SIZE)

    inside = 0
    scale = math.sqrt(abs(np.linalg.det(warp.matrix[:, :2])))
    for channel, name in enumerate(PARTS):
        side, _, rest = name.partition("_")
        other = {"left": f"right_{rest}", "right": f"left_{rest}"}.get(side, name)
        part, absent = (other, name) if warp.flipped else (name, other)
        x, y, visible = moved[COCO_PERSON.parts.index(part)]
        assert visible == 2, "the part is found under the name that the flip gives it"
        assert absent == part or not moved[COCO_PERSON.parts.index(absent)].any()
        margin = 4 * RADIUS * scale + 1
        if margin <= min(x, y) and max(x, y) <= SIZE - 1 - margin:
            found = centroid(seen[..., 2 - channel])  # BGR was drawn, RGB comes out
            assert math.dist(found, (x, y)) < 0.3, name
            inside += 1
    return warp.flipped, inside


def test_a_blob_at_a_keypoint_lands_on_the_warped_keypoint() -> None:
    followed = {True: 0, False: 0}

    @few(166, of=500)
    @given(scenes(), SEED)
    def every(scene: tuple[int, int, np.ndarray], seed: int) -> None:
        flipped, inside = follow(*scene, seed)
        followed[flipped] += inside

    every()
    assert min(followed.values()) > 50, "most examples must have something to follow"


@few(166, of=500)
@given(SEED, st.integers(20, 200), st.integers(20, 200), st.integers(1, 3))
def test_people_back_undoes_people(seed: int, width: int, height: int, number: int) -> None:
    rng = np.random.default_rng(seed)
    people = rng.uniform(0, 1, (number, 18, 3)) * [width, height, 0]
    people[..., 2] = rng.integers(0, 3, (number, 18))
    people[:, 0, 2] = 2
    people[people[..., 2] == 0] = 0
    warp = random_warp(rng, width, height, people, SIZE, AugmentSettings(rotation=180, flip=0))
    np.testing.assert_allclose(warp.people_back(warp.people(people, COCO_PERSON)), people, atol=2e-3)


def test_people_of_a_flipped_image_are_not_mapped_back_with_left_and_right_exchanged() -> None:
    with pytest.raises(ValueError, match="left and right"):
        Warp(np.eye(2, 3), flipped=True).people_back(np.ones((1, 18, 3)))


@few(66, of=200)
@given(SEED, st.floats(0.3, 1), st.floats(1, 3), st.floats(0, 180))
def test_zoom_rotation_and_handedness_stay_in_their_range(seed: int, low: float, high: float, rotation: float) -> None:
    limits = AugmentSettings(scale_min=low, scale_max=high, rotation=rotation, shift=0)
    warp = random_warp(np.random.default_rng(seed), 80, 50, np.zeros((0, 18, 3)), SIZE, limits)
    linear = warp.matrix[:, :2].copy()
    if warp.flipped:
        linear[0] *= -1
    base = SIZE / 80
    assert base * low * 0.999 <= math.sqrt(np.linalg.det(linear)) <= base * high * 1.001
    assert abs(math.degrees(math.atan2(linear[1, 0], linear[0, 0]))) <= rotation + 1e-6
    centre = warp.points(np.array([39.5, 24.5]))
    np.testing.assert_allclose(centre, [SIZE / 2 - 0.5] * 2, atol=1e-9, err_msg="no people, no shift: about the centre")


def test_everything_off_is_the_letterbox() -> None:
    still = AugmentSettings(flip=0, scale_min=1, scale_max=1, rotation=0, shift=0)
    warp = random_warp(np.random.default_rng(3), 90, 50, np.zeros((0, 18, 3)), SIZE, still)
    np.testing.assert_allclose(warp.matrix, letterbox(90, 50, SIZE).matrix)
    assert not warp.flipped


class Told:
    """Draws that are told beforehand: zoom, angle, shift across, shift down, flip, person, share of the way to it."""

    def __init__(self, *draws: float) -> None:
        self.draws = list(draws)

    def random(self) -> float:
        return self.draws.pop(0)


@pytest.mark.parametrize(("draw", "chosen"), [(0.0, 0), (0.33, 0), (0.34, 1), (0.66, 1), (0.67, 2), (0.999, 2)])
def test_anybody_may_be_in_the_middle(draw: float, chosen: int) -> None:
    """The mean of the chosen person's labelled points comes to the middle of the input; nothing else is drawn."""
    people = np.zeros((3, 18, 3), np.float32)
    people[:, 0], people[:, 5] = [(10, 20, 2), (30, 4, 1), (50, 60, 2)], [(14, 20, 2), (30, 8, 2), (50, 40, 1)]
    people[:, 7] = (3, 3, 0)
    warp = random_warp(Told(0.5, 0.5, 0.5, 0.5, 0.99, draw, 1.0), 100, 80, people, SIZE, AugmentSettings())
    moved = warp.people(people, COCO_PERSON)[chosen, [0, 5], :2]
    assert moved.mean(axis=0).tolist() == pytest.approx([(SIZE - 1) / 2] * 2, abs=1e-4)
    halfway = random_warp(Told(0.5, 0.5, 0.5, 0.5, 0.99, draw, 0.5), 100, 80, people, SIZE, AugmentSettings())
    centre = (halfway.people(people, COCO_PERSON)[chosen, [0, 5], :2].mean(axis=0) - (SIZE - 1) / 2).tolist()
    zoom = math.sqrt(AugmentSettings().scale_min * AugmentSettings().scale_max) * SIZE / 100
    aside = people[chosen, [0, 5], :2].mean(axis=0) - (49.5, 39.5)
    assert centre == pytest.approx((zoom * aside / 2).tolist(), abs=1e-4)


def test_flip_probability_is_respected() -> None:
    nobody = np.zeros((0, 18, 3))
    for share in (0.0, 1.0):
        drawn = [
            random_warp(np.random.default_rng(s), 80, 50, nobody, SIZE, AugmentSettings(flip=share)).flipped
            for s in range(30)
        ]
        assert drawn == [bool(share)] * 30


def test_an_exact_flip_reverses_the_columns() -> None:
    """A square image at scale 1: pixel for pixel, without any shift of half a pixel."""
    image = np.random.default_rng(0).integers(0, 255, (SIZE, SIZE, 3), np.uint8)
    still = AugmentSettings(flip=1, scale_min=1, scale_max=1, rotation=0, shift=0)
    warp = random_warp(np.random.default_rng(0), SIZE, SIZE, np.zeros((0, 18, 3)), SIZE, still)
    np.testing.assert_array_equal(warp.image(image, SIZE), image[:, ::-1, ::-1])


@pytest.mark.parametrize(("width", "height", "size"), [(100, 50, 64), (50, 100, 64), (640, 427, 368), (64, 64, 64)])
def test_letterbox_maps_corners_by_the_pixel_centre_rule(width: int, height: int, size: int) -> None:
    factor = size / max(width, height)
    pad_x, pad_y = (size - width * factor) / 2, (size - height * factor) / 2
    corners = np.array([[0, 0], [width - 1, 0], [0, height - 1], [width - 1, height - 1]], float)
    expected = (corners + 0.5) * factor - 0.5 + [pad_x, pad_y]
    np.testing.assert_allclose(letterbox(width, height, size).points(corners), expected, atol=1e-9)


def test_letterbox_of_a_wide_image_by_hand() -> None:
    warp = letterbox(100, 50, 64)
    np.testing.assert_allclose(warp.points(np.array([[0, 0], [99, 49]])), [[-0.18, 15.82], [63.18, 47.18]], atol=1e-9)
    pixels = warp.image(np.full((50, 100, 3), 200, np.uint8), 64)
    assert (pixels[:15] == BORDER_RGB).all()
    assert (pixels[49:] == BORDER_RGB).all()
    assert (pixels[17:47] == 200).all()


def test_letterbox_at_scale_one_changes_no_pixel() -> None:
    image = np.random.default_rng(1).integers(0, 255, (40, SIZE, 3), np.uint8)
    np.testing.assert_array_equal(letterbox(SIZE, 40, SIZE).image(image, SIZE)[12:52], image[..., ::-1])


def test_points_that_leave_the_input_keep_their_coordinates() -> None:
    person = np.zeros((1, 18, 3), np.float32)
    person[0, 0] = -50, 500, 2
    warp = Warp(np.array([[1.0, 0, 10], [0, 1, 20]]))
    assert warp.people(person, COCO_PERSON)[0, 0].tolist() == [-40, 520, 2]
    assert not warp.people(person, COCO_PERSON)[0, 1:].any(), "unlabelled parts stay zero"


@few(33, of=100)
@given(SEED)
def test_mask_follows_the_image(seed: int) -> None:
    """Cells whose inside is wholly ignored do not count, cells far from the ignored region do."""
    rng = np.random.default_rng(seed)
    ignored = np.zeros((70, 90), np.uint8)
    left, top = rng.integers(5, 45, 2)
    ignored[top : top + 24, left : left + 40] = 1
    warp = random_warp(rng, 90, 70, np.zeros((0, 18, 3)), SIZE, AugmentSettings())
    mask = warp.mask(ignored, SIZE, SIZE // 4)
    painted = warp.image(np.repeat(ignored[..., None] * np.uint8(255), 3, axis=2), SIZE)
    painted = np.where((painted == BORDER_RGB).all(axis=2), 0, painted[..., 0]).reshape(16, 4, 16, 4)
    assert mask.dtype == np.uint8
    assert not mask[painted.min(axis=(1, 3)) > 200].any()
    assert mask[painted.max(axis=(1, 3)) < 20].all()


def test_mask_counts_a_cell_of_which_at_least_half_is_not_ignored() -> None:
    ignored = np.zeros((8, 8), np.uint8)
    ignored[:4, :2] = 1  # cell (0, 0): 8 of 16 pixels
    ignored[:4, 4:6] = 1
    ignored[0, 6] = 1  # cell (0, 1): 9 of 16 pixels
    identity = Warp(np.eye(2, 3))
    assert identity.mask(ignored, 8, 2).tolist() == [[1, 0], [1, 1]]
    assert identity.mask(None, 8, 2).tolist() == [[1, 1], [1, 1]]


def test_mask_outside_the_image_counts() -> None:
    """What the letterbox pads is background that the network may learn."""
    mask = letterbox(64, 32, 64).mask(np.ones((32, 64), np.uint8), 64, 8)
    assert mask[:2].all()
    assert mask[6:].all()
    assert not mask[2:6].any()


@few(33, of=100)
@given(SEED)
@example(0)
def test_colour_changes_levels_within_the_settings(seed: int) -> None:
    limits = AugmentSettings(brightness=0.1, contrast=0.2)
    grey = np.full((2, 2, 3), 128, np.uint8)
    changed = random_colour(np.random.default_rng(seed), grey, limits)
    assert np.abs(changed.astype(int) - 128).max() <= 0.1 * 255 + 1, "contrast leaves the middle where it is"
    none = AugmentSettings(brightness=0, contrast=0)
    levels = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 256, 3)
    np.testing.assert_array_equal(random_colour(np.random.default_rng(seed), levels, none), levels)


def test_validation_is_never_augmented(coco_builder: CocoBuilder) -> None:
    coco_builder.fill("val", images=2)
    split = open_split(coco_builder.write(), "val")
    geometry = InputSettings(size=SIZE, stride=4)
    for augment in (None, AugmentSettings(enabled=False)):
        dataset = PoseDataset(split, geometry, augment=augment)
        for position in range(2):
            first, later = dataset[(0, position)], dataset[(5, position)]
            warp = letterbox(*split.size(position), SIZE)
            expected = warp.image(split.read_image(position), SIZE)
            np.testing.assert_array_equal(first.images.numpy().transpose(1, 2, 0), expected)
            np.testing.assert_array_equal(later.images, first.images)
            np.testing.assert_array_equal(first.warps, warp.matrix)
    varied = PoseDataset(split, geometry, augment=AugmentSettings())
    assert not np.array_equal(varied[(0, 0)].images, varied[(1, 0)].images)


def test_the_sample_of_a_flipped_image_has_its_parts_exchanged(coco_builder: CocoBuilder) -> None:
    coco_builder.image("train", 1, SIZE, SIZE)
    coco_builder.person("train", 1, box=(6, 4, 30, 50))
    split = open_split(coco_builder.write(), "train")
    still = AugmentSettings(flip=1, scale_min=1, scale_max=1, rotation=0, shift=0)
    sample = PoseDataset(split, InputSettings(size=SIZE, stride=4), augment=still)[0]
    matrix = sample.warps.numpy()
    assert matrix[0, 0] == pytest.approx(-1)
    for name, other in (("left_hip", "right_hip"), ("right_knee", "left_knee"), ("nose", "nose")):
        x, y = split.people(0)[0, COCO_PERSON.parts.index(name), :2]
        cell_x, cell_y = (matrix[0, 2] - x + 0.5) / 4 - 0.5, (matrix[1, 2] + y + 0.5) / 4 - 0.5
        heatmap = sample.heatmaps[COCO_PERSON.parts.index(other)].numpy()
        row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
        assert abs(column - cell_x) <= 0.51
        assert abs(row - cell_y) <= 0.51


# --- decoding smaller what is made smaller ---------------------------------------------------------------------------


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / max(np.mean((one.astype(float) - other.astype(float)) ** 2), 1e-100)))


def blobs(width: int, height: int, centres: list[tuple[float, float]], sigma: float) -> np.ndarray:
    """White Gaussian blobs on black, BGR (height, width, 3)."""
    y, x = np.mgrid[:height, :width]
    spots = sum(np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * sigma**2)) for cx, cy in centres)
    return np.repeat((255 * np.minimum(spots, 1)).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("shrink", "reduction"), [(0.5, 1), (1.0, 1), (1.99, 1), (2.0, 2), (3.9, 2), (4.0, 4), (8.0, 8), (50.0, 8)]
)
def test_reduction_never_makes_the_warp_enlarge(shrink: float, reduction: int) -> None:
    assert letterbox(round(SIZE * shrink * 100), 10, SIZE * 100).reduction() == reduction


@pytest.mark.parametrize("shrink", [2.0, 2.7, 4.4, 9.0])
@pytest.mark.parametrize("flip", [0, 1])
def test_a_smaller_decoded_image_lands_in_the_same_place(tmp_path: Path, shrink: float, flip: int) -> None:
    width, height, size = 1283, 961, int(1283 / shrink)
    centres = [(301.0, 222.0), (900.5, 700.25)]
    path = tmp_path / "odd.jpg"
    cv2.imwrite(str(path), blobs(width, height, centres, 30), [cv2.IMWRITE_JPEG_QUALITY, 98])
    settings = AugmentSettings(flip=flip, scale_min=1, scale_max=1, rotation=20, shift=0.05)
    warp = random_warp(np.random.default_rng(3), width, height, np.zeros((0, 18, 3)), size, settings)
    reduction = warp.reduction()
    assert reduction > 1
    small, done = decode_reduced(path, reduction)
    assert small is not None
    assert done == reduction
    assert small.shape[:2] == (-(-height // reduction), -(-width // reduction)), "a JPEG's sides are rounded up"
    image = warp.image(small, size, reduction).astype(float)[..., 0]
    plain = warp.image(decode_image(path), size)[..., 0]
    covered = warp.mask(np.ones((height, width), np.uint8), size, size) == 0
    inner = cv2.erode(covered.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert psnr(image[inner], plain[inner]) > 35
    for x, y in warp.points(np.array(centres)):
        window = image[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5]
        rows, columns = np.mgrid[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5]
        weights = window - window.min()
        assert (weights * columns).sum() / weights.sum() == pytest.approx(x, abs=0.3)
        assert (weights * rows).sum() / weights.sum() == pytest.approx(y, abs=0.3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize(("width", "height"), [(333, 251), (320, 256)])
def test_samples_of_large_images_are_those_of_the_plain_path(
    tmp_path: Path, suffix: str, width: int, height: int
) -> None:  # fmt: skip
    root = CocoBuilder(tmp_path)
    root.image("train", 1, width, height)
    root.person("train", 1, box=(60, 40, 120, 180))
    split = open_split(root.write(), "train")
    picture = blobs(width, height, [(80.0, 90.0), (200.5, 140.0)], 20)
    encoded = cv2.imencode(suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, 98])[1]
    split.path(0).write_bytes(encoded.tobytes())  # whatever its name says
    sample = PoseDataset(split, InputSettings(size=SIZE, stride=4))[0]
    warp = letterbox(width, height, SIZE)
    assert warp.reduction() > 1
    plain = warp.image(split.read_image(0), SIZE)
    band = slice(10, -10)  # without the edges, which are blended with what lies beyond them
    ours, theirs = sample.images.numpy().transpose(1, 2, 0)[band, 2:-2], plain[band, 2:-2]
    assert psnr(ours, theirs) > (35 if suffix == ".jpg" else 1000)
    people = warp.people(split.people(0), split.skeleton)
    np.testing.assert_array_equal(sample.people, people)
    np.testing.assert_allclose(sample.pafs, plain_pafs(people, InputSettings(size=SIZE, stride=4)), atol=1e-3)


def test_coco_images_look_the_same(coco_mini: Path) -> None:
    split = open_split(coco_mini, "train")
    smaller = AugmentSettings(scale_min=0.7, scale_max=0.85)
    found = []
    for position in range(len(split)):
        width, height = split.size(position)
        warp = random_warp(np.random.default_rng(position), width, height, split.people(position), 256, smaller)
        image, reduction = decode_reduced(split.path(position), warp.reduction())
        assert reduction > 1
        fast = warp.image(image, 256, reduction)
        # Four pixels in the place of each: what a camera of lower resolution would have seen.
        finer = np.vstack([2 * warp.matrix[:, :2].T, 2 * warp.matrix[:, 2] + 0.5]).T
        ideal = cv2.resize(Warp(finer).image(split.read_image(position), 512), (256, 256), interpolation=cv2.INTER_AREA)
        found.append((psnr(fast, warp.image(split.read_image(position), 256)), psnr(fast, ideal)))
    plain, ideal = np.median(found, axis=0)
    assert plain > 25
    assert ideal > 28


@few(20, of=60)
@given(SEED, st.integers(1, 300), st.integers(1, 300), st.sampled_from([1, 2]))
def test_the_warped_image_is_opencv_s_of_the_whole_image(seed: int, width: int, height: int, reduction: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    limits = AugmentSettings(scale_min=0.3, scale_max=8, rotation=180, shift=1)
    warp = random_warp(rng, width * reduction, height * reduction, np.zeros((0, 18, 3)), SIZE, limits)
    matrix = warp.matrix.copy()
    matrix[:, 2] += matrix[:, :2] @ np.full(2, (reduction - 1) / 2)
    matrix[:, :2] *= reduction
    plain = cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderValue=BORDER_RGB[::-1])
    found = warp.image(image, SIZE, reduction)
    assert np.abs(found[..., ::-1].astype(int) - plain).max() <= 1


@pytest.mark.parametrize("order", [np.ascontiguousarray, np.asfortranarray])
@settings(max_examples=40, deadline=None)
@given(SEED, st.integers(20, 200), st.integers(20, 200))
def test_a_cell_counts_where_at_least_half_of_it_does(order, seed: int, width: int, height: int) -> None:
    """Against the shares of a mask that is warped pixel by pixel; of cells near one half either is right."""
    rng = np.random.default_rng(seed)
    ignored = np.zeros((height, width), np.uint8)
    ignored[: rng.integers(1, height), rng.integers(0, width) :] = 1
    warp = random_warp(rng, width, height, np.zeros((0, 18, 3)), SIZE, AugmentSettings())
    warped = cv2.warpAffine(ignored.astype(np.float32), warp.matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR)
    shares = warped.reshape(8, SIZE // 8, 8, SIZE // 8).mean(axis=(1, 3))
    counts = warp.mask(order(ignored), SIZE, 8)
    clear = np.abs(shares - 0.5) > 0.15
    np.testing.assert_array_equal(counts[clear], (shares <= 0.5)[clear])


@pytest.mark.parametrize(
    ("scale", "x", "y", "seen"),
    [
        (1, -20, -30, (18, 28, 32, 42)),
        (1, -20.5, -30.5, (18, 28, 33, 43)),
        (0.5, -20, -10, (37, 17, 62, 42)),
        (1, 5, 6, (0, 0, 7, 6)),
        (1, -95, -75, (93, 73, 100, 80)),
        (1, -300, 300, (99, 0, 100, 1)),
        (1, 300, -300, (0, 79, 1, 80)),
    ],
)
def test_the_part_of_an_image_that_a_warp_uses(
    scale: float, x: float, y: float, seen: tuple[int, int, int, int]
) -> None:
    """Of 100 x 80 pixels, for an input of 10: with a pixel around it for interpolation; at least one pixel."""
    assert _seen(np.array([[scale, 0, x], [0, scale, y]]), 10, 100, 80) == seen
    turned = np.array([[0, scale, y], [scale, 0, x]])
    assert _seen(turned, 10, 100, 80) == seen


@pytest.mark.parametrize(
    ("shrink", "reduction"), [(0.5, 1), (1, 1), (1.99, 1), (2, 2), (3.9, 2), (4, 4), (7.9, 4), (8, 8), (99, 8)]
)
def test_a_source_is_decoded_as_small_as_the_warp_shows_it(shrink: float, reduction: int) -> None:
    assert Warp(np.array([[1 / shrink, 0, 3], [0, 1 / shrink, 4]])).reduction() == reduction
    assert Warp(np.array([[0, -2 / shrink, 3], [0.5 / shrink, 0, 4]])).reduction() == reduction, "in the mean"
