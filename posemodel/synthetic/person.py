"""Drawing of a person: tapered, shaded limbs, clothes with a front and a back, a head with a face, hands and shoes.

Everything is drawn from far to near, as colours and as labels that say which part of which person is visible. As in a
photograph, the face, the front of the shirt, hands and feet show which side is left.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from posemodel.skeleton import COCO_KEYPOINTS
from posemodel.synthetic.appearance import Appearance
from posemodel.synthetic.canvas import (
    LABELS_PER_PERSON,
    PART_LABELS,
    SUBPIXEL_BITS,
    SUPERSAMPLING,
    Canvas,
    Colour,
    Light,
    Shape,
    brighter,
    fixed_point,
    mix,
)
from posemodel.synthetic.clothes import Detail, Trunk, decorate
from posemodel.synthetic.figure import FACE, HEAD_AXES, SIDES, Array, Pose, sample_pose, sample_view
from posemodel.synthetic.head import draw_head, facing

_TONES = np.array([(1.0, 0.66), (0.84, 0.84), (0.62, 1.0), (0.34, 1.12)])
"""Tones of a tube from the rim to the lit side, as (share of the half width, brightness)."""
_STATIONS = 6
"""Cross-sections along a tube."""
_STEPS = np.linspace(0, 1, _STATIONS)
_SPREAD = {
    count: np.stack([np.interp(_STEPS, np.linspace(0, 1, count), unit) for unit in np.eye(count)], axis=1)
    for count in (2, 3, 4)
}
"""Weights (6, count) that interpolate ``count`` evenly spaced values at the stations."""
_PLAIN_BELOW = 40.0
"""Stature in image pixels up to which a shirt is plain: its details would be smaller than a pixel."""
_CAP_ANGLES = np.linspace(0, math.pi, 7)[1:-1]
_BOW, _SWING = np.sin(_CAP_ANGLES)[:, None], np.cos(_CAP_ANGLES)[:, None]


# Cosines to the viewer below which a point of the face counts as hidden by the head, and as not annotated.
_HIDDEN_BELOW = {"nose": -0.12, "left_eye": 0.12, "right_eye": 0.12, "left_ear": -0.30, "right_ear": -0.30}
_SKIPPED_BELOW = {"nose": -0.12, "left_eye": -0.10, "right_eye": -0.10, "left_ear": -0.40, "right_ear": -0.40}
_HIDDEN = np.array([_HIDDEN_BELOW.get(name, -1.0) for name in COCO_KEYPOINTS])
_SKIPPED = np.array([_SKIPPED_BELOW.get(name, -1.0) for name in COCO_KEYPOINTS])
_FACE_INDEX = [index for index, name in enumerate(COCO_KEYPOINTS) if name in FACE]


def _parts_that_carry(name: str) -> tuple[str, ...]:
    """Return the parts that carry a joint: if one of their labels is at the joint, the joint is visible."""
    if name in FACE:
        return ("head",)
    side, joint = name.split("_")
    return {
        "shoulder": (f"{side}_arm", "torso", "pelvis"),
        "elbow": (f"{side}_arm", f"{side}_forearm"),
        "wrist": (f"{side}_forearm", f"{side}_hand"),
        "hip": (f"{side}_thigh", "torso", "pelvis"),
        "knee": (f"{side}_thigh", f"{side}_shin"),
        "ankle": (f"{side}_shin", f"{side}_foot"),
    }[joint]


_CARRIERS = np.zeros((len(COCO_KEYPOINTS), LABELS_PER_PERSON), bool)
"""Whether a part carries a joint: (keypoint, part label), bool."""
for _index, _name in enumerate(COCO_KEYPOINTS):
    _CARRIERS[_index, [PART_LABELS[part] for part in _parts_that_carry(_name)]] = True
_TRUNK_CARRIES = {side: [COCO_KEYPOINTS.index(f"{side}_{joint}") for joint in ("shoulder", "hip")] for side in SIDES}


@dataclass
class _Tube:
    """Body part around a line of six stations."""

    depth: float
    """Position towards the viewer in statures; nearer parts are drawn later."""
    part: str
    """Name in ``PART_LABELS``."""
    centres: Array | tuple[Array, Array]
    """Image positions of the stations (6, 2), or the two ends of a straight line."""
    radii: Array
    """Half widths at the stations in image pixels, (6,)."""
    colour: Colour
    caps: tuple[float, float] = (1.0, 1.0)
    """Roundness of the two ends: length of the cap in half widths."""
    details: list[Detail] = field(default_factory=list)
    """Details drawn on top, under the label of the part."""


@dataclass
class Person:
    """A posed person at a position in the image."""

    look: Appearance
    pose: Pose
    view: Array
    """Camera: (3, 3) from the body frame to image axes."""
    stature: float
    """Standing height in image pixels."""
    feet: tuple[float, float]
    """Image position (x, y) of the lowest point, centred under the hips."""

    def __post_init__(self) -> None:
        names = list(self.pose.points)
        points = np.array([self.pose.points[name] for name in names])
        projected = points @ self.view.T * self.stature
        self._xy = projected[:, :2] + np.array([self.feet[0], self.feet[1] - projected[:, 1].max()])
        self.at = dict(zip(names, self._xy, strict=True))
        """Position (2,) of every point in image pixels, by name: views of one array, so that they change when the
        person moves."""
        # Depth is distance along the floor: a camera from above should not put the head in front of a raised hand.
        level = self.view[2] * np.array([1.0, 0.0, 1.0])
        self.depth = dict(zip(names, (points @ level).tolist(), strict=True))
        self._chest = self.view @ self.pose.chest
        self._pelvis = self.view @ self.pose.pelvis
        self._head = self.view @ self.pose.head

    @classmethod
    def sample(cls, rng: np.random.Generator, stature: float, feet: tuple[float, float]) -> "Person":
        """Make a person of random look, pose and view."""
        look = Appearance.sample(rng)
        return cls(look, sample_pose(rng, look.build), sample_view(rng), stature, feet)

    @property
    def from_behind(self) -> bool:
        """Whether the chest faces away from the viewer."""
        return bool(self._chest[2, 2] < 0)

    def bounds(self) -> tuple[float, float, float, float]:
        """Return x0, y0, x1, y1 in image pixels: the joints, with a margin for flesh and hair."""
        margin = 0.1 * self.stature
        left, top = self._xy.min(0).tolist()
        right, bottom = self._xy.max(0).tolist()
        return left - margin, top - margin, right + margin, bottom + margin

    def move(self, dx: float, dy: float) -> None:
        """Shift the person by image pixels."""
        self.feet = (self.feet[0] + dx, self.feet[1] + dy)
        self._xy += (dx, dy)

    # --- the joints ---------------------------------------------------------------------------------------------

    def keypoints(self, labels: Array, owner: int) -> Array:
        """Return COCO keypoints (17, 3): x and y to a tenth of a pixel, and visibility v on the finished label canvas.

        v = 2: the canvas shows the part that carries the joint; v = 1: another object or part of a body covers it; v =
        0 with x = y = 0: it is outside the image, or on the far side of the head, where annotators skip it.
        """
        height, width = labels.shape[0] // SUPERSAMPLING, labels.shape[1] // SUPERSAMPLING
        xy = np.round([self.at[name] for name in COCO_KEYPOINTS], 1)
        turned = np.ones(len(COCO_KEYPOINTS))
        turned[_FACE_INDEX] = [facing(self._head, COCO_KEYPOINTS[index]) for index in _FACE_INDEX]
        labelled = ((xy >= 0) & (xy <= (width - 1, height - 1))).all(1) & (turned >= _SKIPPED)
        columns, rows = (np.rint(xy[labelled]).astype(int) * SUPERSAMPLING).T
        steps = np.arange(SUPERSAMPLING)
        block = labels[rows[:, None, None] + steps[:, None], columns[:, None, None] + steps]
        carriers = _CARRIERS.copy()
        for side, sign in SIDES.items():
            if self._chest[2, 0] * sign < -0.75:  # turned by more than 49 degrees: the trunk hides its far side
                carriers[_TRUNK_CARRIES[side], PART_LABELS["torso"]] = False
                carriers[_TRUNK_CARRIES[side], PART_LABELS["pelvis"]] = False
        carried = carriers[np.flatnonzero(labelled)[:, None, None], block % LABELS_PER_PERSON]
        shown = 2 * (carried & (block // LABELS_PER_PERSON == owner)).sum((1, 2)) >= SUPERSAMPLING**2
        keypoints = np.zeros((len(COCO_KEYPOINTS), 3))
        keypoints[labelled, :2] = xy[labelled]
        keypoints[labelled, 2] = 1 + (shown & (turned >= _HIDDEN)[labelled])
        return keypoints

    # --- drawing ------------------------------------------------------------------------------------------------

    def draw(self, canvas: Canvas, owner: int) -> None:
        """Draw the person onto the canvas, under the labels of ``owner``."""
        light = canvas.light
        tubes = [*self._trunk(light), *self._arms(), *self._legs(), *self._hair()]
        tubes.sort(key=lambda tube: tube.depth)
        outlines = _outlines(tubes, light)
        shades = 1 + (_TONES[:, 1] - 1) * light.contrast
        colours = np.minimum(np.array([tube.colour for tube in tubes])[:, None] * shades[:, None], 255).tolist()
        head_depth = self.depth["skull"] + 0.03  # the head is in front of the chest, however far the person stoops
        head_drawn = False
        for tube, polygons, tones in zip(tubes, outlines, colours, strict=True):
            if not head_drawn and tube.depth > head_depth:
                draw_head(canvas, owner, self.look, self._head, self.at["skull"], self.stature)
                head_drawn = True
            label = owner * LABELS_PER_PERSON + PART_LABELS[tube.part]
            radius = float(tube.radii[2]) * SUPERSAMPLING
            for tone in (1,) if radius < 2 else (0, 2) if radius < 5 else (0, 2, 3) if radius < 10 else (0, 1, 2, 3):
                outline = polygons[tone if radius >= 2 else 0]  # a thin tube has a single tone
                cv2.fillPoly(canvas.pixels, [outline], (*tones[tone], label), cv2.LINE_8, SUBPIXEL_BITS)
            if tube.details:
                canvas.draw([Shape(*detail, label) for detail in tube.details])
        if not head_drawn:
            draw_head(canvas, owner, self.look, self._head, self.at["skull"], self.stature)

    def _limb(
        self,
        part: str,
        ends: tuple[Array, Array],
        girths: tuple[float, ...],
        colour: Colour,
        depth: float,
        caps: tuple[float, float] = (1.0, 1.0),
    ) -> _Tube:
        """Make a straight tube between two image points; ``girths`` are evenly spaced half widths in statures."""
        return _Tube(depth, part, ends, _SPREAD[len(girths)] @ girths * self.stature, colour, caps)

    def _line(self, share_of_stature: float) -> int:
        """Return a line's thickness in canvas pixels, at least 1, from its share of the stature."""
        return max(1, round(share_of_stature * self.stature * SUPERSAMPLING))

    def _arms(self) -> list[_Tube]:
        look, girth, tubes = self.look, self.look.build.girth**0.7, []
        for side in SIDES:
            shoulder, elbow, wrist = (self.at[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist"))
            depths = [self.depth[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist")]
            upper, lower = (depths[0] + depths[1]) / 2 + 0.012, (depths[1] + depths[2]) / 2 + 0.018
            arm, fore = np.array([0.032, 0.030, 0.026, 0.024]) * girth, np.array([0.025, 0.026, 0.020, 0.015]) * girth
            if look.sleeve < 1:
                tubes.append(self._limb(f"{side}_arm", (shoulder, elbow), tuple(arm), look.skin, upper))
            if look.sleeve < 2:
                tubes.append(self._limb(f"{side}_forearm", (elbow, wrist), tuple(fore), look.skin, lower))
            if look.sleeve > 0:
                reach = min(look.sleeve, 1.0)
                cuff = shoulder + reach * (elbow - shoulder)
                loose, end = tuple(arm * 1.14), 0.3 if look.sleeve < 1 else 1.0
                tubes.append(self._limb(f"{side}_arm", (shoulder, cuff), loose, look.shirt, upper + 1e-4, (1.0, end)))
            if look.sleeve > 1:
                cuff = elbow + (look.sleeve - 1) * 0.96 * (wrist - elbow)
                loose = tuple(fore * 1.2)
                tubes.append(self._limb(f"{side}_forearm", (elbow, cuff), loose, look.shirt, lower + 2e-4, (1.0, 0.2)))
            tubes += self._hand(side, elbow, wrist, lower + 1e-4)
        return tubes

    def _hand(self, side: str, elbow: Array, wrist: Array, depth: float) -> list[_Tube]:
        """Make palm, fingers and a thumb that points where the chest faces."""
        forearm = (wrist - elbow) / self.stature
        knuckles = wrist + forearm * 0.36 * self.stature
        tips = wrist + forearm * 0.62 * self.stature
        skin = self.look.skin
        inward = (self._chest[:2, 2] - 0.5 * SIDES[side] * self._chest[:2, 0]) * 0.028 * self.stature
        thumb = (wrist + 0.3 * (knuckles - wrist), wrist + 0.6 * (knuckles - wrist) + inward)
        return [
            self._limb(f"{side}_hand", thumb, (0.008, 0.006), skin, depth),
            self._limb(f"{side}_hand", (knuckles, tips), (0.018, 0.010), brighter(skin, 0.94), depth),
            self._limb(f"{side}_hand", (wrist, knuckles), (0.014, 0.021, 0.019), skin, depth + 1e-5),
        ]

    def _legs(self) -> list[_Tube]:
        look, girth, tubes = self.look, self.look.build.girth**0.7, []
        for side in SIDES:
            joints = ("hip", "knee", "ankle", "heel", "toe")
            hip, knee, ankle, heel, toe = (self.at[f"{side}_{joint}"] for joint in joints)
            depths = [self.depth[f"{side}_{joint}"] for joint in joints]
            upper, lower = (depths[0] + depths[1]) / 2 - 0.03, (depths[1] + depths[2]) / 2 - 0.012
            foot = (depths[3] + depths[4]) / 2 - 0.03
            thigh = np.array([0.060, 0.058, 0.046, 0.036]) * girth
            shin = np.array([0.035, 0.040, 0.030, 0.021]) * girth
            if look.trouser_leg <= 1:
                tubes.append(self._limb(f"{side}_thigh", (hip, knee), tuple(thigh), look.skin, upper))
            if look.trouser_leg < 2:
                tubes.append(self._limb(f"{side}_shin", (knee, ankle), tuple(shin), look.skin, lower))
            if look.trouser_leg > 0:
                hem = hip + min(look.trouser_leg, 1.0) * (knee - hip)
                wide, end = tuple(thigh * 1.06), 0.3 if look.trouser_leg <= 1 else 1.0
                tubes.append(self._limb(f"{side}_thigh", (hip, hem), wide, look.trousers, upper + 1e-4, (1.0, end)))
            if look.trouser_leg > 1:
                hem = knee + 0.97 * (ankle - knee)
                loose = np.maximum(shin * 1.12, 0.031 * girth)
                tubes.append(
                    self._limb(f"{side}_shin", (knee, hem), tuple(loose), look.trousers, lower + 2e-4, (1.0, 0.1))
                )
            shoe = self._limb(f"{side}_foot", (heel, toe), (0.025, 0.026, 0.027, 0.023), look.shoes, foot)
            sole = np.array([heel, toe]) + np.array([0.0, 0.017 * self.stature])
            shoe.details.append((sole, mix(look.shoes, (225, 225, 225), 0.75), self._line(0.009)))
            if self._pelvis[2, 2] > 0.2:  # laces are visible from the front
                laces = np.array([heel + share * (toe - heel) for share in (0.55, 0.8)])
                shoe.details.append((laces, mix(look.shoes, (240, 240, 240), 0.8), self._line(0.008)))
            tubes.append(
                self._limb(f"{side}_foot", (ankle, heel + 0.3 * (toe - heel)), (0.021, 0.024), look.shoes, foot)
            )
            tubes.append(shoe)
        return tubes

    # At the stations from crotch to neck: share of the spine, half breadth and half depth in statures.
    _SPINE = np.array([0.12, 0.34, 0.56, 0.78, 0.93, 1.02])
    _BREADTH = np.array([0.088, 0.080, 0.088, 0.106, 0.100, 0.046])
    _DEPTH = np.array([0.064, 0.060, 0.065, 0.066, 0.052, 0.034])

    def _trunk(self, light: Light) -> list[_Tube]:
        look = self.look
        pelvis, waist, collar = self.at["pelvis"], self.at["waist"], self.at["collar"]
        depth = (self.depth["pelvis"] + self.depth["collar"]) / 2
        shares, bend = self._SPINE, 0.36  # position of the waist as a share of the spine
        below, above = np.clip(shares / bend, 0, 1), np.clip((shares - bend) / (1 - bend), 0, 1.05)
        spine = pelvis + below[:, None] * (waist - pelvis) + above[:, None] * (collar - waist)
        girth = np.array([1.0, 1.0, 1.0, 0.9, 0.6, 0.3]) * (look.build.girth - 1) + 1
        breadth = self._BREADTH * girth * np.array([1, 1, 1, *[look.build.shoulders] * 2, 1])
        bulk = self._DEPTH * girth
        radii = self._silhouette(spine, self._chest, breadth, bulk) * self.stature
        shirt = _Tube(depth, "torso", spine, radii, look.shirt, (0.35, 0.3))
        if self.stature > _PLAIN_BELOW:
            trunk = Trunk(shares, spine, breadth, bulk, self.stature)
            shirt.details += decorate(look, self._chest, trunk, light)

        seat = pelvis + np.array([0.0, 0.03]) * self.stature * abs(self._pelvis[1, 1])
        belt = pelvis + 0.28 / bend * (waist - pelvis)
        line = seat + _STEPS[:, None] * (belt - seat)
        seat_breadth = np.array([0.06, 0.088, 0.094, 0.092, 0.086, 0.080]) * (0.5 + 0.5 * look.build.girth)
        seat_radii = self._silhouette(line, self._pelvis, seat_breadth, seat_breadth * 0.74) * self.stature
        trousers = _Tube(
            depth + (2e-4 if look.tucked else -2e-3), "pelvis", line, seat_radii, look.trousers, (0.6, 0.1)
        )
        across = self._pelvis[:2, 0] * seat_breadth[-1] * self.stature
        if look.tucked:
            leather = brighter(look.shoes, 0.7)
            trousers.details.append((np.array([belt - across, belt + across]), leather, self._line(0.016)))
        if self._pelvis[2, 2] > 0.25:
            fly = np.array([belt, belt + 0.7 * (seat - belt)]) + self._pelvis[:2, 2] * 0.06 * self.stature
            trousers.details.append((fly, brighter(look.trousers, 0.6), self._line(0.006)))
        elif self._pelvis[2, 2] < -0.25:
            middle = belt + 0.6 * (seat - belt) + self._pelvis[:2, 2] * -0.05 * self.stature
            for sign in SIDES.values():
                corner = middle + sign * 0.6 * across
                pocket = np.array([corner - 0.25 * across, corner + 0.25 * across])
                trousers.details.append((pocket, brighter(look.trousers, 0.6), self._line(0.007)))

        neck = self._limb(
            "neck", (collar, self.at["skull"]), (0.034, 0.029, 0.030), brighter(look.skin, 0.86), depth - 1e-3
        )
        tubes = [shirt, trousers, neck]
        if look.skirt:
            knees = (self.at["left_knee"] + self.at["right_knee"]) / 2
            hem = belt + 0.8 * (knees - belt)
            apart = abs(self.at["left_knee"][0] - self.at["right_knee"][0]) / self.stature / 2
            skirt = self._limb(
                "pelvis", (belt, hem), (0.078, 0.1, 0.1, 0.07 + 0.6 * apart), look.trousers, 0.0, (0.1, 0.2)
            )
            skirt.depth = max(depth, self.depth["left_knee"] / 2, self.depth["right_knee"] / 2) - 1e-3
            tubes.append(skirt)
        if look.bag is not None:
            back = spine[[2, 4]] - self._chest[:2, 2] * 0.085 * self.stature
            bag = self._limb("bag", (back[0], back[1]), (0.07, 0.075, 0.065), look.bag, depth, (0.4, 0.5))
            bag.depth += 0.005 if self.from_behind else -0.005
            tubes.append(bag)
        return tubes

    @staticmethod
    def _silhouette(line: Array, frame: Array, breadth: Array, bulk: Array) -> Array:
        """Return half widths in statures of elliptic cross-sections, seen across the line's direction in the image."""
        along = line[-1] - line[0]
        across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
        return np.hypot(breadth * float(frame[:2, 0] @ across), bulk * float(frame[:2, 2] @ across))

    def _hair(self) -> list[_Tube]:
        look, head = self.look, self._head
        if look.head not in ("long", "tail"):
            return []
        axes = HEAD_AXES * look.build.head * self.stature
        behind = self.at["skull"] - head[:2, 2] * axes[2] * 0.55
        top = behind + (head @ np.array([0.0, 0.3, 0.0]))[:2] * axes[1]
        fall = 1.9 if look.head == "long" else 2.6
        end = behind + np.array([0.0, fall * axes[1]]) - self._chest[:2, 2] * 0.045 * self.stature
        half = (0.05, 0.052, 0.050, 0.040) if look.head == "long" else (0.018, 0.016, 0.022, 0.010)
        depth = self.depth["skull"] + 0.03 - math.copysign(0.035, head[2, 2])
        hair = self._limb("hair", (top, end), tuple(np.array(half) * look.build.head), brighter(look.hair, 1.1), depth)
        trunk = (self.depth["pelvis"] + self.depth["collar"]) / 2
        if self.from_behind:  # hair lies on the back, however the head is bent
            hair.depth = max(hair.depth, trunk + 0.003)
        else:  # hair falls behind the neck
            hair.depth = min(hair.depth, trunk - 2e-3)
        return [hair]


def _outlines(tubes: list[_Tube], light: Light) -> list[list[Array]]:
    """Return a polygon for each tube and tone in fixed-point canvas coordinates, computed at once for speed."""
    ends = np.array([(tube.centres[0], tube.centres[-1]) for tube in tubes])
    centres = ends[:, :1] + _STEPS[:, None] * (ends[:, 1:] - ends[:, :1])
    for index, tube in enumerate(tubes):
        if len(tube.centres) == _STATIONS:
            centres[index] = tube.centres
    radii = np.array([tube.radii for tube in tubes])
    caps = np.array([tube.caps for tube in tubes])
    along = ends[:, 1] - ends[:, 0]
    length = np.hypot(along[:, 0], along[:, 1])[:, None]
    along = np.where(length > 1e-6, along / np.maximum(length, 1e-6), np.array([0.0, 1.0]))
    across = np.stack([-along[:, 1], along[:, 0]], axis=-1)

    shares = _TONES[:, 0, None, None, None]
    # Lighter tones are shifted towards the lit side of a tube.
    lit = (across @ light.towards[:2])[:, None, None] * across[:, None, :] * radii[:, :, None]
    middle = centres + (1 - shares) * 0.75 * lit
    side = shares * radii[..., None] * across[:, None, :]

    def cap(end: int, sign: float) -> Array:
        # The end of a tube has no dark rim, so that no seam shows at a joint.
        outward = caps[:, 0 if end == 0 else 1, None, None] * _BOW * along[:, None, :]
        reach = outward + shares * _SWING * across[:, None, :]
        arc: Array = middle[:, :, end, None, :] + sign * radii[:, end, None, None] * reach
        return arc

    polygon = np.concatenate(
        [middle + side, cap(_STATIONS - 1, 1.0), (middle - side)[:, :, ::-1], cap(0, -1.0)], axis=2
    )
    fixed = fixed_point(polygon)
    return [list(fixed[:, index]) for index in range(len(tubes))]
