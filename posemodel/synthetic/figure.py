"""Geometry of a person: body proportions, poses from joint angles, and the joints in three dimensions.

The body frame has x to the person's left, y up and z forward, in units of the standing stature; the origin lies midway
between the hips. Rotations keep it right-handed, so that they cannot exchange left and right.
"""

import math
from dataclasses import dataclass

import numpy as np

Array = np.ndarray

SIDES = {"left": 1.0, "right": -1.0}
"""Sign of x on each side of the body."""

# Segment lengths as shares of stature: Drillis and Contini (1966), as tabled in Winter's "Biomechanics", rounded.
HIP_HALF_WIDTH = 0.056
SHOULDER_HALF_WIDTH = 0.104
LUMBAR = 0.105
THORAX = 0.185
NECK = 0.052
HEAD_HALF_HEIGHT = 0.068
UPPER_ARM = 0.180
FOREARM = 0.150
THIGH = 0.243
SHIN = 0.244
FOOT = 0.145
ANKLE_HEIGHT = 0.04


HEAD_AXES = np.array([0.052, HEAD_HALF_HEIGHT, 0.060])
"""Half breadth, half height and half depth of an adult's head, in statures."""

FACE: dict[str, Array] = {
    "nose": np.array([0.0, -0.20, 1.14]),
    "left_eye": np.array([0.38, 0.08, 0.92]),
    "right_eye": np.array([-0.38, 0.08, 0.92]),
    "left_ear": np.array([1.02, -0.05, -0.06]),
    "right_ear": np.array([-1.02, -0.05, -0.06]),
}
"""Positions on the head in half axes: on the unit sphere, the nose and ears slightly outside."""
_FACE_POSITIONS = np.array(list(FACE.values()))


@dataclass(frozen=True)
class Build:
    """Proportions of a body as factors that multiply the mean lengths and girths."""

    girth: float
    legs: float
    shoulders: float
    head: float

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Build":
        """Draw an adult, or (one in six) a child: a larger head on shorter legs and narrower shoulders."""
        child = rng.random() < 1 / 6
        return cls(
            girth=rng.uniform(0.85, 1.3),
            legs=rng.uniform(0.88, 0.95) if child else rng.uniform(0.96, 1.05),
            shoulders=rng.uniform(0.85, 0.95) if child else rng.uniform(0.92, 1.12),
            head=rng.uniform(1.15, 1.35) if child else rng.uniform(0.95, 1.1),
        )


@dataclass(frozen=True)
class Pose:
    """Points by name, (3,) each, and orientations of the rigid parts, (3, 3) with columns left, up, forward."""

    points: dict[str, Array]
    pelvis: Array
    chest: Array
    head: Array
    seated: bool


def turn(angle: float) -> Array:
    """Rotate about the upward axis; positive angles (radians) turn forward towards the left."""
    return rotation(angle, 0.0, 0.0)


def lean(angle: float) -> Array:
    """Rotate about the lateral axis; positive angles (radians) tip up towards forward."""
    return rotation(0.0, angle, 0.0)


def tilt(angle: float) -> Array:
    """Rotate about the forward axis; positive angles (radians) tip left towards up."""
    return rotation(0.0, 0.0, angle)


def rotation(turned: float, leant: float, tilted: float) -> Array:
    """Return ``turn(turned) @ lean(leant) @ tilt(tilted)``, multiplied out for speed; angles in radians."""
    ct, st, cl, sl = math.cos(turned), math.sin(turned), math.cos(leant), math.sin(leant)
    cr, sr = math.cos(tilted), math.sin(tilted)
    return np.array(
        [
            [ct * cr + st * sl * sr, st * sl * cr - ct * sr, st * cl],
            [cl * sr, cl * cr, -sl],
            [ct * sl * sr - st * cr, st * sr + ct * sl * cr, ct * cl],
        ]
    )


_Range = tuple[float, float]
"""Lowest and highest angle in degrees."""


@dataclass(frozen=True)
class _Stance:
    """Kind of pose: its frequency, and the ranges from which its angles are drawn.

    ``first`` and ``second`` are (hip flexion, knee flexion) of one leg each; whether left or right is first is random.
    """

    share: float
    first: tuple[_Range, _Range]
    second: tuple[_Range, _Range]
    spread: _Range = (2, 9)
    lean: _Range = (-4, 10)
    arms: tuple[str, ...] = (*("hang",) * 6, *("hip",) * 2, "fold", "hold", "phone", "point", "up", "out", "behind")
    seated: bool = False


_STANCES = (
    _Stance(0.60, ((-4, 8), (0, 10)), ((-4, 8), (0, 10))),
    _Stance(0.22, ((18, 34), (4, 20)), ((-22, -8), (10, 40)), arms=("swing", "swing", "swing", "hold", "phone")),
    _Stance(0.03, ((45, 75), (60, 100)), ((-30, -10), (30, 90)), lean=(5, 22), arms=("pump", "pump", "up", "out")),
    _Stance(0.06, ((-3, 6), (0, 8)), ((-3, 6), (0, 8)), spread=(12, 24), arms=("up", "up", "out", "head", "hip")),
    _Stance(
        0.04, ((72, 98), (70, 105)), ((72, 98), (70, 105)), (3, 20), (-10, 25), ("knee", "hold", "fold", "phone"), True
    ),
    _Stance(0.02, ((95, 125), (110, 140)), ((85, 120), (110, 140)), (8, 28), (10, 40), ("knee", "hold", "point")),
    _Stance(0.02, ((45, 70), (50, 80)), ((-35, -18), (5, 30)), lean=(0, 25), arms=("out", "point", "pump", "hip")),
    _Stance(0.005, ((5, 20), (0, 15)), ((5, 20), (0, 15)), lean=(35, 75), arms=("down", "down", "knee", "out")),
    _Stance(0.005, ((40, 95), (10, 100)), ((-8, 5), (0, 15)), lean=(-12, 8), arms=("out", "up", "pump", "hip")),
)

_DRAWS_PER_POSE = 40
"""Random numbers drawn for a pose: more than any pose uses."""
_STANCE_BOUNDS = np.cumsum([stance.share for stance in _STANCES])[:-1]

_REACHES: dict[str, tuple[tuple[float, float, float], float, tuple[float, float, float]]] = {
    "hang": ((0.14, -0.95, 0.08), 0.07, (0.5, 0.0, -1.0)),
    "swing": ((0.10, -0.86, 0.38), 0.08, (0.3, 0.0, -1.0)),
    "pump": ((-0.02, -0.40, 0.50), 0.12, (0.5, -0.4, -1.0)),
    "hold": ((-0.12, -0.55, 0.55), 0.12, (0.7, -0.6, -0.5)),
    "fold": ((-0.50, -0.42, 0.42), 0.08, (1.0, -0.6, 0.1)),
    "hip": ((0.10, -0.74, 0.05), 0.04, (1.0, 0.0, -0.5)),
    "phone": ((-0.16, 0.24, 0.22), 0.05, (0.8, -1.0, 0.2)),
    "head": ((-0.18, 0.52, 0.04), 0.05, (1.0, 0.2, 0.1)),
    "point": ((-0.05, 0.05, 0.92), 0.22, (0.7, -0.7, 0.0)),
    "up": ((0.25, 0.86, 0.12), 0.22, (0.8, 0.0, 0.4)),
    "out": ((0.90, 0.05, 0.12), 0.22, (0.0, -0.8, -0.4)),
    "behind": ((-0.22, -0.80, -0.30), 0.05, (1.0, 0.0, -0.6)),
    "down": ((0.05, -0.20, 0.92), 0.12, (0.6, 0.4, -0.3)),
    "knee": ((0.00, -0.60, 0.60), 0.08, (1.0, -0.2, -0.4)),
}
"""Arm poses: the wrist's position from the shoulder and its random deviation, both in arm lengths, and the elbow's
direction; vectors are (outward, up, forward)."""


def _reach(shoulder: Array, target: Array, elbow_towards: Array) -> tuple[Array, Array]:
    """Return elbow and wrist of a two-bone arm whose wrist is at the target, or as near as the arm reaches."""
    offset = target - shoulder
    distance = math.sqrt(offset @ offset)
    direction = offset / max(distance, 1e-6)
    nearest, furthest = 0.3 * (UPPER_ARM + FOREARM), 0.998 * (UPPER_ARM + FOREARM)  # elbows bend to some 35 degrees
    distance = min(max(distance, nearest), furthest)
    along = (UPPER_ARM**2 - FOREARM**2 + distance**2) / (2 * distance)
    across = elbow_towards - direction * float(elbow_towards @ direction)
    across /= max(math.sqrt(across @ across), 1e-6)
    elbow = shoulder + along * direction + math.sqrt(max(UPPER_ARM**2 - along**2, 0.0)) * across
    return elbow, shoulder + distance * direction


def _leg(hip: Array, flexion: float, knee: float, spread: float, length: float) -> tuple[Array, Array, Array, Array]:
    """Return knee, ankle, heel and toe of a leg; angles in radians, ``spread`` signed by side."""
    sideways, downwards = math.sin(spread), -math.cos(spread)

    def bone(angle: float, size: float) -> Array:
        along, ahead = size * math.cos(angle), size * math.sin(angle)
        return np.array([along * sideways, along * downwards, ahead])

    knee_at = hip + bone(flexion, THIGH * length)
    shin = flexion - knee
    ankle = knee_at + bone(shin, SHIN * length)
    down = max(0.0, -shin - math.radians(15)) * 0.7  # the heel rises once the shin is well behind the knee
    out = spread * 0.8 + math.copysign(math.radians(8), spread)
    foot = rotation(out, down, 0.0)
    sole, under = foot[:, 2], foot[:, 1] * (-0.55 * ANKLE_HEIGHT)
    return knee_at, ankle, ankle + under - 0.25 * FOOT * sole, ankle + under + 0.72 * FOOT * sole


def sample_pose(rng: np.random.Generator, build: Build) -> Pose:
    """Draw a plausible pose: standing, walking, running, seated, crouching, lunging, bending or kicking."""
    stance = _STANCES[int(np.searchsorted(_STANCE_BOUNDS, rng.random()))]
    draws = iter(rng.random(_DRAWS_PER_POSE).tolist())  # all at once: single draws are slow

    def degrees(interval: _Range) -> float:
        return math.radians(interval[0] + (interval[1] - interval[0]) * next(draws))

    def one_of(names: tuple[str, ...]) -> str:
        return names[int(len(names) * next(draws))]

    stoop = degrees(stance.lean)
    pelvis = rotation(0.0, 0.45 * stoop, degrees((-4, 4)))
    chest = rotation(degrees((-18, 18)), stoop, degrees((-8, 8)))
    head = chest @ rotation(degrees((-38, 38)), degrees((-18, 22)) - 0.45 * stoop, degrees((-12, 12)))

    points: dict[str, Array] = {"pelvis": np.zeros(3)}
    waist = pelvis @ np.array([0.0, LUMBAR, 0.0])
    collar = waist + chest @ np.array([0.0, THORAX, 0.0])
    neck_top = collar + (0.5 * chest[:, 1] + 0.5 * head[:, 1]) * NECK
    skull = neck_top + head @ np.array([0.0, HEAD_HALF_HEIGHT * build.head, 0.012])
    points |= {"waist": waist, "collar": collar, "neck_top": neck_top, "skull": skull}

    first = one_of(("left", "right"))
    mirrored_arms = next(draws) < 0.35
    arm = one_of(stance.arms)
    for side, sign in SIDES.items():
        hip = pelvis @ np.array([sign * HIP_HALF_WIDTH * (0.8 + 0.2 * build.girth), 0.0, 0.0])
        flexion, bend = stance.first if side == first else stance.second
        spread = sign * degrees(stance.spread)
        knee, ankle, heel, toe = _leg(hip, degrees(flexion), degrees(bend), spread, build.legs)
        points |= {f"{side}_hip": hip, f"{side}_knee": knee, f"{side}_ankle": ankle}
        points |= {f"{side}_heel": heel, f"{side}_toe": toe}

    for side, sign in SIDES.items():
        if not mirrored_arms:
            arm = one_of(stance.arms)
        target, deviation, elbow_towards = _REACHES[arm]
        lifted = 0.022 if target[1] > 0 else 0.0  # a raised arm lifts the shoulder
        shoulder = collar + chest @ np.array([sign * SHOULDER_HALF_WIDTH * build.shoulders, lifted - 0.018, 0.0])
        outward = np.array([sign, 1.0, 1.0])
        if arm == "swing" and side == first:  # arms swing against the legs
            target = (target[0], target[1], -0.35)
        if arm == "knee":
            goal = points[f"{side}_knee"] + np.array([0.0, 0.03, 0.0])
        elif arm == "down":  # with a bent back the arm hangs vertically, not along the chest
            goal = shoulder + np.array([sign * 0.02, -0.31, 0.06])
        else:
            goal = shoulder + chest @ (np.array(target) * outward) * (UPPER_ARM + FOREARM)
        offset = np.array([2 * next(draws) - 1, 2 * next(draws) - 1, 2 * next(draws) - 1])
        goal = goal + offset * (deviation * (UPPER_ARM + FOREARM))
        elbow, wrist = _reach(shoulder, goal, chest @ (np.array(elbow_towards) * outward))
        points |= {f"{side}_shoulder": shoulder, f"{side}_elbow": elbow, f"{side}_wrist": wrist}

    face = skull + (_FACE_POSITIONS * (HEAD_AXES * build.head)) @ head.T
    points |= dict(zip(FACE, face, strict=True))
    return Pose(points, pelvis, chest, head, stance.seated)


def sample_view(rng: np.random.Generator) -> Array:
    """Draw a camera: (3, 3) from the body frame to image axes (x right, y down, z towards the viewer).

    88 % front views, 6 % back views, the rest from the sides; level to somewhat from above, mostly upright.
    """
    kind = rng.random()
    if kind < 0.88:
        heading = rng.uniform(-40, 40)
    elif kind < 0.94:
        heading = 180 + rng.uniform(-40, 40)
    else:
        heading = (-90 if rng.random() < 0.5 else 90) + rng.uniform(-30, 30)
    roll = rng.uniform(-25, 25) if rng.random() < 0.05 else rng.normal(0, 3)
    upright = tilt(math.radians(roll)) @ lean(math.radians(rng.uniform(-4, 14))) @ turn(math.radians(heading))
    view: Array = np.diag([1.0, -1.0, 1.0]) @ upright
    return view
