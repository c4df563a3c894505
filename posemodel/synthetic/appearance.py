"""Random appearance of a person: build, skin, hair and clothes."""

import math
from dataclasses import dataclass

import numpy as np

from posemodel.synthetic.canvas import Colour
from posemodel.synthetic.figure import Build

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

# Covered lengths: 0 none, 1 to the elbow or knee, 2 full.
_SLEEVES = (0.0, 0.6, 0.6, 0.7, 0.8, 1.4, 2.0, 2.0)
_TROUSER_LEGS = (0.75, 1.0, 2.0, 2.0, 2.0, 2.0)


@dataclass(frozen=True)
class Appearance:
    """Appearance of one person: build, skin, hair and clothes."""

    build: Build
    skin: Colour
    hair: Colour
    head: str
    """Hair style or head gear: short, long, tail, bald or cap."""
    hat: Colour
    """Colour of the cap, and of prints and ties."""
    shirt: Colour
    trim: Colour
    """Second colour of the shirt, which contrasts with it."""
    front: str
    """Pattern of the shirt: buttons, jacket, print, stripes, pocket, tie, number or plain."""
    pocket: float
    """Side of the breast pocket: 1 left, -1 right."""
    sleeve: float
    """Covered length of the arms: 0 none, 1 to the elbow, 2 full."""
    trousers: Colour
    trouser_leg: float
    """Covered length of the legs: 0 none, 1 to the knee, 2 full."""
    skirt: bool
    tucked: bool
    """Whether the shirt is tucked into the trousers."""
    shoes: Colour
    bag: Colour | None
    """Colour of a bag on the back; None: no bag."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Appearance":
        """Draw a random appearance.

        Garments look the same on both sides, except for the pocket, whose side is random; so only the body shows which
        side is left.
        """
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
            pocket=1.0 if rng.random() < 0.5 else -1.0,
            sleeve=_SLEEVES[rng.integers(len(_SLEEVES))],
            trousers=_cloth(rng, dull=True),
            trouser_leg=0.0 if skirt else _TROUSER_LEGS[rng.integers(len(_TROUSER_LEGS))],
            skirt=skirt,
            tucked=bool(rng.random() < 0.4),
            shoes=_cloth(rng, dull=True),
            bag=_cloth(rng) if rng.random() < 0.15 else None,
        )


def _cloth(rng: np.random.Generator, *, dull: bool = False) -> Colour:
    """Draw a cloth colour (BGR); ``dull`` gives the darker, greyer ones of trousers and shoes."""
    value = rng.uniform(35, 190 if dull else 245)
    saturation = rng.uniform(0, 0.45 if dull else 0.85) ** 1.2
    hue = rng.uniform(0, 2 * math.pi)
    channels = [value * (1 - saturation * (0.5 + 0.5 * math.cos(hue + shift))) for shift in (0.0, 2.09, 4.19)]
    return (channels[0], channels[1], channels[2])


def _contrast(one: Colour, other: Colour) -> float:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 3
