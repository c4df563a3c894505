"""Draw one person: tapered, shaded limbs, clothes with a front and a back, a head with a face, hands and shoes.

Everything is drawn from far to near onto two canvases at once: colours, and labels that say which part of whom is seen.
What tells left from right is what tells it in a photograph: the face, the front of the shirt, hands and feet.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np

from posemodel.data.synthetic.figure import FACE, HEAD_AXES, SIDES, Array, Build, Pose, sample_pose, sample_view
from posemodel.skeleton import COCO_KEYPOINTS

Colour = tuple[float, float, float]

SUPERSAMPLING = 2
"""Canvas pixels per image pixel: drawn without anti-aliasing, then averaged."""

SUBPIXEL_BITS = 4
"""Fractional bits of OpenCV's drawing coordinates."""

PART_LABELS: dict[str, int] = {
    name: index + 1
    for index, name in enumerate(
        ["torso", "pelvis", "neck", "head", "hair", "bag"]
        + [f"{side}_{part}" for side in SIDES for part in ("arm", "forearm", "hand", "thigh", "shin", "foot")]
    )
}
LABELS_PER_PERSON = 64
"""A canvas label is ``owner * LABELS_PER_PERSON + part``; owner 0 is the scene."""

_SKINS: tuple[Colour, ...] = (  # BGR
    (180, 205, 240),
    (150, 185, 228),
    (125, 165, 214),
    (100, 140, 195),
    (75, 110, 165),
    (55, 82, 128),
    (42, 60, 92),
)
_HAIRS: tuple[Colour, ...] = (
    (22, 22, 26),
    (28, 40, 62),
    (42, 66, 104),
    (95, 150, 200),
    (50, 78, 150),
    (165, 165, 168),
    (30, 34, 44),
)
_HEADS = ("short", "short", "short", "long", "long", "tail", "bald", "cap")
_FRONTS = ("buttons", "jacket", "print", "stripes", "pocket", "tie", "number", "plain")

_SLEEVES = (0.0, 0.6, 0.7, 1.4, 2.0, 2.0)
_TROUSER_LEGS = (0.75, 1.0, 2.0, 2.0, 2.0, 2.0)

# From the rim to the lit side: the share of the half width, and the brightness.
_TONES = ((1.0, 0.66), (0.84, 0.84), (0.62, 1.0), (0.34, 1.12))
_STATIONS = 6
_STEPS = np.linspace(0, 1, _STATIONS)
_SPREAD = {
    count: np.stack([np.interp(_STEPS, np.linspace(0, 1, count), unit) for unit in np.eye(count)], axis=1)
    for count in (2, 3, 4)
}
"""(6, count): weights that spread ``count`` evenly spaced values over the stations."""
_FACELESS_BELOW = 28.0
"""Image pixels of stature below which a head is four pixels high."""
_PLAIN_BELOW = 40.0
"""Image pixels of stature below which nothing on a shirt is larger than a pixel."""
_AROUND = np.linspace(-math.pi, math.pi, 25)
_ROUND = np.linspace(0, 2 * math.pi, 11)[:-1, None]
_CAP_ANGLES = np.linspace(0, math.pi, 7)[1:-1]


@dataclass(frozen=True)
class Light:
    """Light of one image: towards the light in image axes (x right, y down, z to the viewer), and its contrast."""

    towards: Array
    contrast: float


@dataclass(frozen=True)
class Look:
    """Build, skin, hair and clothes."""

    build: Build
    skin: Colour
    hair: Colour
    head: str
    hat: Colour
    shirt: Colour
    trim: Colour
    front: str
    sleeve: float
    trousers: Colour
    trouser_leg: float
    skirt: bool
    tucked: bool
    shoes: Colour
    bag: Colour | None

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Look":
        """Draw a look; sleeves and trouser legs are covered lengths: 0 none, 1 to the elbow or knee, 2 full."""
        shirt, trim = _cloth(rng), _cloth(rng)
        skirt = bool(rng.random() < 0.12)
        return cls(
            build=Build.sample(rng),
            skin=_SKINS[rng.integers(len(_SKINS))],
            hair=_HAIRS[rng.integers(len(_HAIRS))],
            head=_HEADS[rng.integers(len(_HEADS))],
            hat=_cloth(rng),
            shirt=shirt,
            trim=trim if _contrast(shirt, trim) > 60 else ((235, 238, 240) if sum(shirt) < 380 else (35, 30, 30)),
            front=_FRONTS[rng.integers(len(_FRONTS))],
            sleeve=_SLEEVES[rng.integers(len(_SLEEVES))],
            trousers=_cloth(rng, dull=True),
            trouser_leg=0.0 if skirt else _TROUSER_LEGS[rng.integers(len(_TROUSER_LEGS))],
            skirt=skirt,
            tucked=bool(rng.random() < 0.4),
            shoes=_cloth(rng, dull=True),
            bag=_cloth(rng) if rng.random() < 0.15 else None,
        )


def _cloth(rng: np.random.Generator, *, dull: bool = False) -> Colour:
    """Draw a cloth colour (BGR); dull ones are what trousers and shoes come in."""
    value = rng.uniform(35, 190 if dull else 245)
    saturation = rng.uniform(0, 0.45 if dull else 0.85) ** 1.2
    hue = rng.uniform(0, 2 * math.pi)
    channels = [value * (1 - saturation * (0.5 + 0.5 * math.cos(hue + shift))) for shift in (0.0, 2.09, 4.19)]
    return (channels[0], channels[1], channels[2])


def _contrast(one: Colour, other: Colour) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 3


def _times(colour: Colour, factor: float) -> Colour:
    return (min(colour[0] * factor, 255.0), min(colour[1] * factor, 255.0), min(colour[2] * factor, 255.0))


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    keep = 1 - share
    return (
        one[0] * keep + other[0] * share,
        one[1] * keep + other[1] * share,
        one[2] * keep + other[2] * share,
    )


def fixed_point(points: Array) -> Array:
    """Image pixels (..., 2) -> OpenCV's fixed-point coordinates on the supersampled canvas."""
    centre_offset = (SUPERSAMPLING - 1) / 2
    return np.rint((points * SUPERSAMPLING + centre_offset) * (1 << SUBPIXEL_BITS)).astype(np.int32)


@dataclass
class _Tube:
    """A body part around a line of six stations: image centres, half widths in pixels, how round its ends are.

    Two centres mean a straight line; fewer than six half widths are spread evenly along it.
    """

    depth: float
    part: str
    centres: Array | tuple[Array, Array]
    radii: Array
    colour: Colour
    caps: tuple[float, float] = (1.0, 1.0)
    details: list[tuple[Array, Colour, int]] = field(default_factory=list)
    """Drawn on top, in colours only: points (N, 2), colour, thickness in canvas pixels (0: filled)."""


@dataclass
class Person:
    """One person, posed and placed; ``draw`` puts the person on the canvases."""

    look: Look
    pose: Pose
    view: Array
    stature: float
    """Standing height in image pixels."""
    feet: tuple[float, float]
    """Image position of the lowest point, centred under the hips."""

    def __post_init__(self) -> None:
        names = list(self.pose.points)
        seen = np.array([self.pose.points[name] for name in names]) @ self.view.T * self.stature
        low = seen[:, 1].max()
        shift = np.array([self.feet[0], self.feet[1] - low])
        self.at = {name: seen[i, :2] + shift for i, name in enumerate(names)}
        # Order by distance over the floor: a camera from above must not put the head before a raised hand.
        level = self.view[2] * np.array([1.0, 0.0, 1.0])
        self.depth = {name: float(self.pose.points[name] @ level) for name in names}
        self._chest = self.view @ self.pose.chest
        self._pelvis = self.view @ self.pose.pelvis
        self._head = self.view @ self.pose.head

    @classmethod
    def sample(cls, rng: np.random.Generator, stature: float, feet: tuple[float, float]) -> "Person":
        """Draw look, pose and view."""
        look = Look.sample(rng)
        return cls(look, sample_pose(rng, look.build), sample_view(rng), stature, feet)

    @property
    def from_behind(self) -> bool:
        """Whether the chest faces away from the viewer."""
        return bool(self._chest[2, 2] < 0)

    def bounds(self) -> tuple[float, float, float, float]:
        """Return x0, y0, x1, y1 in image pixels, with room for flesh and hair."""
        points = np.array(list(self.at.values()))
        margin = 0.1 * self.stature
        low, high = points.min(0) - margin, points.max(0) + margin
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def move(self, dx: float, dy: float) -> None:
        """Shift the person by image pixels."""
        self.feet = (self.feet[0] + dx, self.feet[1] + dy)
        shift = np.array([dx, dy])
        self.at = {name: point + shift for name, point in self.at.items()}

    # --- the joints ---------------------------------------------------------------------------------------------

    def keypoints(self, labels: Array, owner: int) -> Array:
        """COCO keypoints (17, 3): x, y to a tenth of a pixel and v, judged on the finished label canvas.

        v = 2: the part that carries the joint is what the canvas shows there; 1: something covers it, or the body
        itself does; 0 with x = y = 0: outside the image, or on the far side of the head, where annotators skip it.
        """
        height, width = labels.shape[0] // SUPERSAMPLING, labels.shape[1] // SUPERSAMPLING
        found = np.zeros((len(COCO_KEYPOINTS), 3))
        for index, name in enumerate(COCO_KEYPOINTS):
            x, y = np.round(self.at[name], 1)
            facing = self._facing(name)
            if not (0 <= x <= width - 1 and 0 <= y <= height - 1) or facing < _SKIPPED.get(name[-3:], -2.0):
                continue
            column, row = round(x) * SUPERSAMPLING, round(y) * SUPERSAMPLING
            block = labels[row : row + SUPERSAMPLING, column : column + SUPERSAMPLING]
            carriers = [owner * LABELS_PER_PERSON + PART_LABELS[part] for part in self._carriers(name)]
            visible = 2 * sum(
                label in carriers for label in block.ravel().tolist()
            ) >= block.size and facing >= _HIDDEN.get(name[-3:], -2.0)
            found[index] = x, y, 2 if visible else 1
        return found

    def _facing(self, name: str) -> float:
        """Cosine between the viewer and the outward direction of a place on the head; 1 for the other joints."""
        if name not in FACE:
            return 1.0
        outward = FACE[name] / HEAD_AXES
        return float(self._head[2] @ outward / np.linalg.norm(outward))

    def _carriers(self, name: str) -> tuple[str, ...]:
        if name in FACE:
            return ("head",)
        side, joint = name.split("_")
        trunk: tuple[str, ...] = ("torso", "pelvis")
        if self._chest[2, 0] * SIDES[side] < -0.75:  # more than 49 degrees off: the trunk lies before its far side
            trunk = ()
        return {
            "shoulder": (f"{side}_arm", *trunk),
            "elbow": (f"{side}_arm", f"{side}_forearm"),
            "wrist": (f"{side}_forearm", f"{side}_hand"),
            "hip": (f"{side}_thigh", *trunk),
            "knee": (f"{side}_thigh", f"{side}_shin"),
            "ankle": (f"{side}_shin", f"{side}_foot"),
        }[joint]

    # --- drawing ------------------------------------------------------------------------------------------------

    def draw(self, canvas: Array, labels: Array, owner: int, light: Light) -> None:
        """Draw onto the canvases (uint8 (H, W, 3) and uint16 (H, W)), both supersampled."""
        tubes = [*self._trunk(light), *self._arms(), *self._legs(), *self._hair()]
        tubes.sort(key=lambda tube: tube.depth)
        outlines = _outlines(tubes, light)
        head_depth = self.depth["skull"] + 0.03  # the head leads the chest, whatever the stoop
        drawn = False
        for tube, polygons in zip(tubes, outlines, strict=True):
            if not drawn and tube.depth > head_depth:
                self._draw_head(canvas, labels, owner, light)
                drawn = True
            radius = float(tube.radii[2]) * SUPERSAMPLING
            for tone in (1,) if radius < 2 else (0, 2) if radius < 5 else (0, 1, 2, 3):
                colour = _times(tube.colour, 1 + (_TONES[tone][1] - 1) * light.contrast)
                outline = polygons[tone if radius >= 2 else 0]  # all of a thin tube in one tone
                cv2.fillPoly(canvas, [outline], colour, cv2.LINE_8, SUBPIXEL_BITS)
            for points, colour, thickness in tube.details:
                fixed = fixed_point(points)
                if thickness:
                    cv2.polylines(canvas, [fixed], False, colour, thickness, cv2.LINE_8, SUBPIXEL_BITS)
                else:
                    cv2.fillPoly(canvas, [fixed], colour, cv2.LINE_8, SUBPIXEL_BITS)
            label = owner * LABELS_PER_PERSON + PART_LABELS[tube.part]
            cv2.fillPoly(labels, [polygons[0]], label, cv2.LINE_8, SUBPIXEL_BITS)
        if not drawn:
            self._draw_head(canvas, labels, owner, light)

    def _limb(
        self,
        part: str,
        ends: tuple[Array, Array],
        girths: tuple[float, ...],
        colour: Colour,
        depth: float,
        caps: tuple[float, float] = (1.0, 1.0),
    ) -> _Tube:
        """Make a straight tube between two image points; ``girths`` are half widths in statures, evenly spaced."""
        return _Tube(depth, part, ends, _SPREAD[len(girths)] @ girths * self.stature, colour, caps)

    def _line(self, share_of_stature: float) -> int:
        """Thickness in canvas pixels of a line that is ``share_of_stature`` wide; at least one."""
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
        """Make palm, fingers and a thumb that points the way the chest faces."""
        forearm = (wrist - elbow) / self.stature
        knuckles = wrist + forearm * 0.36 * self.stature
        tips = wrist + forearm * 0.62 * self.stature
        skin = self.look.skin
        inward = (self._chest[:2, 2] - 0.5 * SIDES[side] * self._chest[:2, 0]) * 0.028 * self.stature
        thumb = (wrist + 0.3 * (knuckles - wrist), wrist + 0.6 * (knuckles - wrist) + inward)
        return [
            self._limb(f"{side}_hand", thumb, (0.008, 0.006), skin, depth),
            self._limb(f"{side}_hand", (knuckles, tips), (0.018, 0.010), _times(skin, 0.94), depth),
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
            sole = np.stack([heel, toe]) + np.array([0.0, 0.017 * self.stature])
            shoe.details.append((sole, _mix(look.shoes, (225, 225, 225), 0.75), self._line(0.009)))
            if self._pelvis[2, 2] > 0.2:  # laces are seen from the front
                laces = np.stack([heel + share * (toe - heel) for share in (0.55, 0.8)])
                shoe.details.append((laces, _mix(look.shoes, (240, 240, 240), 0.8), self._line(0.008)))
            tubes.append(
                self._limb(f"{side}_foot", (ankle, heel + 0.3 * (toe - heel)), (0.021, 0.024), look.shoes, foot)
            )
            tubes.append(shoe)
        return tubes

    # Stations from crotch to neck: share of the spine, half breadth and half depth in statures.
    _SPINE = np.array([0.12, 0.34, 0.56, 0.78, 0.93, 1.02])
    _BREADTH = np.array([0.088, 0.080, 0.088, 0.106, 0.100, 0.046])
    _DEPTH = np.array([0.064, 0.060, 0.065, 0.066, 0.052, 0.034])

    def _trunk(self, light: Light) -> list[_Tube]:
        look = self.look
        pelvis, waist, collar = self.at["pelvis"], self.at["waist"], self.at["collar"]
        depth = (self.depth["pelvis"] + self.depth["collar"]) / 2
        shares, bend = self._SPINE, 0.36  # where along the spine the waist lies
        below, above = np.clip(shares / bend, 0, 1), np.clip((shares - bend) / (1 - bend), 0, 1.05)
        spine = pelvis + below[:, None] * (waist - pelvis) + above[:, None] * (collar - waist)
        girth = np.array([1.0, 1.0, 1.0, 0.9, 0.6, 0.3]) * (look.build.girth - 1) + 1
        breadth = self._BREADTH * girth * np.array([1, 1, 1, *[look.build.shoulders] * 2, 1])
        bulk = self._DEPTH * girth
        radii = self._silhouette(spine, self._chest, breadth, bulk) * self.stature
        shirt = _Tube(depth, "torso", spine, radii, look.shirt, (0.35, 0.3))
        if self.stature > _PLAIN_BELOW:
            self._decorate(shirt, spine, breadth, bulk, light)

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
            leather = _times(look.shoes, 0.7)
            trousers.details.append((np.stack([belt - across, belt + across]), leather, self._line(0.016)))
        if self._pelvis[2, 2] > 0.25:
            fly = np.stack([belt, belt + 0.7 * (seat - belt)]) + self._pelvis[:2, 2] * 0.06 * self.stature
            trousers.details.append((fly, _times(look.trousers, 0.6), self._line(0.006)))
        elif self._pelvis[2, 2] < -0.25:
            middle = belt + 0.6 * (seat - belt) + self._pelvis[:2, 2] * -0.05 * self.stature
            for sign in SIDES.values():
                corner = middle + sign * 0.6 * across
                pocket = np.stack([corner - 0.25 * across, corner + 0.25 * across])
                trousers.details.append((pocket, _times(look.trousers, 0.6), self._line(0.007)))

        neck = self._limb(
            "neck", (collar, self.at["skull"]), (0.034, 0.029, 0.030), _times(look.skin, 0.86), depth - 1e-3
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
        """Half widths of an elliptic cross-section as seen across the line's direction in the image."""
        along = line[-1] - line[0]
        across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6)
        return np.hypot(breadth * float(frame[:2, 0] @ across), bulk * float(frame[:2, 2] @ across))

    def _decorate(self, shirt: _Tube, spine: Array, breadth: Array, bulk: Array, light: Light) -> None:
        """Put on the shirt what its front and its back show; places are (share of the spine, angle from the front)."""
        look, chest = self.look, self._chest
        shades = 1 + (0.95 - 1) * light.contrast
        trim, dark = _times(look.trim, shades), _times(look.shirt, 0.68)

        marks: list[tuple[list[float], list[float], Colour, float]] = []

        def line(shares: list[float], angles: list[float], colour: Colour, width: float) -> None:
            marks.append((shares, angles, colour, width))

        def patch(shares: list[float], angles: list[float], colour: Colour) -> None:
            marks.append((shares, angles, colour, 0.0))

        front, back = chest[2, 2] > -0.5, chest[2, 2] < 0.5
        around = list(_AROUND)
        if look.front == "stripes":
            for share in (0.25, 0.40, 0.55, 0.70, 0.83):
                line([share] * 25, around, trim, 0.02)
        # Folds, on every side.
        for angle in (0.9, -1.1, 2.2, -2.4):
            line([0.2, 0.32, 0.42], [angle, angle * 0.9, angle * 0.95], dark, 0.006)
        if front:
            if look.front in ("jacket", "tie"):
                inner = trim if look.front == "jacket" else (232.0, 235.0, 238.0)
                patch([0.14, 0.97, 1.0, 0.97, 0.14], [-0.22, -0.55, 0.0, 0.55, 0.22], inner)
                for sign in SIDES.values():
                    line([0.14, 0.6, 0.97], [sign * 0.22, sign * 0.42, sign * 0.6], dark, 0.012)
            if look.front == "tie":
                patch([0.95, 0.3, 0.22, 0.3], [0.0, 0.14, 0.0, -0.14], _times(look.hat, 0.7))
            if look.front in ("buttons", "pocket"):
                line([0.13, 0.5, 0.95], [0.06, 0.06, 0.06], dark, 0.006)
                for share in (0.25, 0.40, 0.55, 0.70, 0.84):
                    line([share, share + 0.012], [0.0, 0.0], trim, 0.014)
            if look.front in ("pocket", "jacket"):  # a breast pocket is on the wearer's left
                patch([0.76, 0.76, 0.64, 0.64], [0.35, 0.85, 0.80, 0.38], dark if look.front == "jacket" else trim)
            if look.front in ("print", "number"):
                patch([0.78, 0.78, 0.50, 0.50], [-0.6, 0.6, 0.55, -0.55], trim)
                for share in (0.72, 0.64, 0.56):
                    line([share, share], [-0.4, 0.4], look.hat, 0.012)
            opening = 0.86 if look.front in ("plain", "print", "stripes", "number") else 0.80
            patch([1.02, 0.95, opening, 0.95, 1.02], [-1.2, -0.6, 0.0, 0.6, 1.2], look.skin)
            if look.front in ("buttons", "pocket", "jacket", "tie"):
                for sign in SIDES.values():
                    patch(
                        [1.02, 0.92, 0.86, 0.97], [sign * 1.2, sign * 1.0, sign * 0.35, sign * 0.1], _times(trim, 0.97)
                    )
            if look.bag is not None:
                for sign in SIDES.values():
                    line([0.97, 0.8, 0.5], [sign * 1.2, sign * 0.75, sign * 1.1], _times(look.bag, 0.8), 0.022)
        if back:
            line([0.84] * 9, list(np.linspace(math.pi - 1.1, math.pi + 1.1, 9)), dark, 0.007)
            line([0.2, 0.8], [math.pi, math.pi], _times(look.shirt, 0.86), 0.008)
            if look.front == "number":
                patch([0.8, 0.8, 0.42, 0.42], [math.pi - 0.3, math.pi - 0.1, math.pi - 0.1, math.pi - 0.3], trim)
                patch([0.8, 0.8, 0.42, 0.42], [math.pi + 0.3, math.pi + 0.1, math.pi + 0.1, math.pi + 0.3], trim)

        # Where they come to lie on the elliptic cross-sections: all in one go.
        shares, angles = (np.array([value for mark in marks for value in mark[index]]) for index in (0, 1))
        a, b, x, y = (np.interp(shares, self._SPINE, profile) for profile in (breadth, bulk, spine[:, 0], spine[:, 1]))
        sine, cosine = np.sin(angles), np.cos(angles)
        outward = (a * sine)[:, None] * chest[:2, 0] + (b * cosine)[:, None] * chest[:2, 2]
        points = np.stack([x, y], axis=-1) + outward * self.stature
        seen = sine / a * chest[2, 0] + cosine / b * chest[2, 2] > 0
        start = 0
        for mark_shares, _, colour, width in marks:
            stop = start + len(mark_shares)
            shown = seen[start:stop]
            if width and shown.any():
                shirt.details.append((points[start:stop][shown], colour, self._line(width)))
            elif not width and shown.all():
                shirt.details.append((points[start:stop], colour, 0))
            start = stop

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
        hair = self._limb("hair", (top, end), tuple(np.array(half) * look.build.head), _times(look.hair, 1.1), depth)
        trunk = (self.depth["pelvis"] + self.depth["collar"]) / 2
        if self.from_behind:  # it lies on the back, whichever way the head is stooped
            hair.depth = max(hair.depth, trunk + 0.003)
        else:  # and falls behind the neck
            hair.depth = min(hair.depth, trunk - 2e-3)
        return [hair]

    def _draw_head(self, canvas: Array, labels: Array, owner: int, light: Light) -> None:
        """Ray-cast the skull with its hair, then draw ears, eyes, brows, nose, mouth and the peak of a cap."""
        look, head = self.look, self._head
        axes = HEAD_AXES * look.build.head * self.stature * SUPERSAMPLING
        centre = self.at["skull"] * SUPERSAMPLING + (SUPERSAMPLING - 1) / 2
        value = owner * LABELS_PER_PERSON + PART_LABELS["head"]

        def project(places: Array) -> Array:
            return centre + (places * axes) @ head[:2].T

        def ellipse(place: Array, breadth: float, height: float, colour: Colour, *, label: bool = False) -> None:
            """Draw an ellipse of half axes in canvas pixels along the head's own left and up."""
            points = project(place) + np.cos(_ROUND) * breadth + np.sin(_ROUND) * height
            fixed = np.rint(points * (1 << SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillPoly(canvas, [fixed], colour, cv2.LINE_8, SUBPIXEL_BITS)
            if label:
                cv2.fillPoly(labels, [fixed], value, cv2.LINE_8, SUBPIXEL_BITS)

        def stroke(places: list[Array], colour: Colour, width: float) -> None:
            fixed = np.rint(project(np.array(places)) * (1 << SUBPIXEL_BITS)).astype(np.int32)
            thickness = max(1, round(width * float(axes[1])))
            cv2.polylines(canvas, [fixed], False, colour, thickness, cv2.LINE_8, SUBPIXEL_BITS)

        def ear(side: str) -> None:
            if look.head == "long":
                return
            flat = max(0.3, float(np.hypot(*head[:2, 2])))  # an ear lies in the plane of up and forward
            forward = head[:2, 2] / max(float(np.hypot(*head[:2, 2])), 1e-6)
            breadth, height = forward * 0.2 * axes[1] * flat, head[:2, 1] * 0.24 * axes[1]
            ellipse(FACE[f"{side}_ear"], breadth, height, _times(look.skin, 0.8), label=True)
            ellipse(FACE[f"{side}_ear"], breadth * 0.55, height * 0.6, _times(look.skin, 0.62))

        for side in SIDES:
            if self._facing(f"{side}_ear") < 0.25:
                ear(side)
        self._cast_skull(canvas, labels, value, centre, axes, light)
        for side in SIDES:
            if self._facing(f"{side}_ear") >= 0.25:
                ear(side)

        if self.stature < _FACELESS_BELOW:
            return
        skin, dark = look.skin, _times(look.hair, 0.9)
        for side, sign in SIDES.items():
            turned = self._facing(f"{side}_eye")
            if turned < 0.12:
                continue
            narrow = head[:2, 0] * axes[0] * max(0.45, turned)
            upward = head[:2, 1] * axes[1]
            eye = FACE[f"{side}_eye"]
            ellipse(eye, narrow * 0.23, upward * 0.105, (238, 240, 240))
            ellipse(eye, narrow * 0.11, upward * 0.10, (30, 32, 36))
            brow = [np.array([sign * x, y, 0.9]) for x, y in ((0.16, 0.25), (0.36, 0.31), (0.58, 0.24))]
            stroke(brow, dark if look.head != "bald" else _times(skin, 0.5), 0.07)
        if head[2, 2] > -0.25:
            bridge, tip = np.array([0.0, 0.12, 0.98]), FACE["nose"]
            wings = [np.array([sign * 0.14, -0.27, 0.97]) for sign in SIDES.values()]
            shape = np.rint(project(np.array([bridge, wings[0], tip, wings[1]])) * (1 << SUBPIXEL_BITS)).astype(
                np.int32
            )
            cv2.fillConvexPoly(canvas, cv2.convexHull(shape), _times(skin, 0.9), cv2.LINE_8, SUBPIXEL_BITS)
            cv2.fillConvexPoly(labels, cv2.convexHull(shape), value, cv2.LINE_8, SUBPIXEL_BITS)
            stroke([wings[0], np.array([0.0, -0.30, 1.08]), wings[1]], _times(skin, 0.62), 0.05)
            stroke([bridge, tip], _times(skin, 1.1), 0.05)
        if head[2, 2] > 0.1:
            lips = _mix(_times(skin, 0.62), (70, 60, 170), 0.45)
            stroke(
                [np.array([x, y, z]) for x, y, z in ((-0.3, -0.5, 0.8), (0.0, -0.55, 0.86), (0.3, -0.5, 0.8))],
                lips,
                0.1,
            )
        if look.head == "cap" and head[2, 2] > -0.75:
            sweep = np.linspace(-1.2, 1.2, 9)
            inner = np.stack([np.sin(sweep) * 0.98, np.full(9, 0.36), np.cos(sweep) * 0.95], axis=-1)
            outer = np.stack([np.sin(sweep) * 0.98, np.full(9, 0.27), np.cos(sweep) * 0.95 + 0.65], axis=-1)
            peak = np.rint(project(np.concatenate([inner, outer[::-1]])) * (1 << SUBPIXEL_BITS)).astype(np.int32)
            cv2.fillPoly(canvas, [peak], _times(look.hat, 0.72), cv2.LINE_8, SUBPIXEL_BITS)
            cv2.fillPoly(labels, [peak], value - PART_LABELS["head"] + PART_LABELS["hair"], cv2.LINE_8, SUBPIXEL_BITS)

    def _cast_skull(self, canvas: Array, labels: Array, value: int, centre: Array, axes: Array, light: Light) -> None:
        """Intersect the line of sight of each pixel with the ellipsoid of the head; colour by place and light."""
        look, head = self.look, self._head
        reach = float(axes.max()) * 1.05
        x0, y0 = max(0, math.floor(centre[0] - reach)), max(0, math.floor(centre[1] - reach))
        x1, y1 = min(canvas.shape[1], math.ceil(centre[0] + reach)), min(canvas.shape[0], math.ceil(centre[1] + reach))
        if x1 <= x0 or y1 <= y0:
            return
        x = (np.arange(x0, x1) - centre[0]).astype(np.float32)[None, None, :]
        y = (np.arange(y0, y1) - centre[1]).astype(np.float32)[None, :, None]
        scaled = (head / axes).astype(np.float32)  # rows: image axes; columns: the head's, in half axes
        start = scaled[0][:, None, None] * x + scaled[1][:, None, None] * y
        # A jaw is narrower than a skull: below the eyes, the same column lies further out.
        start[0] *= 1 + 0.22 * np.clip(-start[1], 0, 1) ** 1.5
        ray = scaled[2]
        square, cross = float(ray @ ray), np.tensordot(ray, start, 1)
        inside = cross**2 - square * (np.sum(start * start, axis=0) - 1)
        mask = (inside > 0).astype(np.uint8)
        place = start + ray[:, None, None] * ((np.sqrt(np.maximum(inside, 0)) - cross) / square)
        left, up, forward = place
        shade = np.tensordot((light.towards @ head).astype(np.float32), place, 1)
        shade = 1 + light.contrast * (0.30 * shade - 0.18)

        style = look.head
        hairline = np.interp(forward, [-0.9, -0.3, -0.05, 0.25, 0.7, 1.0], [-0.62, -0.45, 0.0, 0.42, 0.55, 0.6])
        if style == "bald":
            hairline += 0.0 if look.build.girth > 1.05 else 2.0
            covered = (up > hairline) & (up < 0.25) & (forward < 0.3)
        else:
            covered = up > hairline - (0.25 if style == "long" else 0.0) * (np.abs(left) > 0.6)
        strands = 0.96 + 0.07 * np.sin(left * 23 + up * 5)
        colours = np.empty((*shade.shape, 3), np.float32)
        hat = (up > np.where(forward > 0, 0.34, 0.12)) if style == "cap" else None
        for channel in range(3):
            tone = np.where(covered, look.hair[channel] * strands, look.skin[channel])
            if hat is not None:
                tone = np.where(hat, look.hat[channel], tone)
            colours[..., channel] = tone * shade
        pixels = cv2.convertScaleAbs(colours)
        cv2.copyTo(pixels, mask, canvas[y0:y1, x0:x1])
        window = labels[y0:y1, x0:x1]
        window[mask > 0] = value


# Cosines to the viewer below which a place on the head counts as hidden by the head, and as not worth a label.
_HIDDEN = {"ose": -0.12, "eye": 0.12, "ear": -0.30}
_SKIPPED = {"ose": -0.12, "eye": -0.10, "ear": -0.40}


def _outlines(tubes: list[_Tube], light: Light) -> list[list[Array]]:
    """Polygons of every tube in every tone, as fixed-point canvas coordinates: one batch, since there are many."""
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

    shares = np.array([share for share, _ in _TONES])[:, None, None, None]
    # The lit side of a tube is where its light tones gather.
    lit = (across @ light.towards[:2])[:, None, None] * across[:, None, :] * radii[:, :, None]
    middle = centres + (1 - shares) * 0.75 * lit
    side = shares * radii[..., None] * across[:, None, :]
    bow, swing = np.sin(_CAP_ANGLES)[:, None], np.cos(_CAP_ANGLES)[:, None]

    def cap(end: int, sign: float) -> Array:
        # No rim across a tube's end: where two tubes meet in a joint, nothing shows a seam.
        outward = caps[:, 0 if end == 0 else 1, None, None] * bow * along[:, None, :]
        reach = outward + shares * swing * across[:, None, :]
        return middle[:, :, end, None, :] + sign * radii[:, end, None, None] * reach

    polygon = np.concatenate(
        [middle + side, cap(_STATIONS - 1, 1.0), (middle - side)[:, :, ::-1], cap(0, -1.0)], axis=2
    )
    fixed = fixed_point(polygon)
    return [list(fixed[:, index]) for index in range(len(tubes))]
