"""The measure by which a study compares optimizers, in words: AP, or the skill of the validation loss."""

from dataclasses import dataclass

from bench.trials.score_names import AP_SCORE, LOSS_SCORE, ScoreName

SKILL_DEFINITION = (
    "Skill: the share by which the network reduces the loss of finding nobody; 0 is no better than that, 1 is perfect."
)
SKILL_LIMITS = (
    "A lower validation loss does not always find more people, and some skill is possible without looking at the "
    "image: compare by AP as soon as it is above chance."
)

AP_ABOVE_CHANCE = "AP is above chance for all optimizers here: compare by AP, with `--score ap` under another `--name`."
"""Sentence that is added if AP is above chance for all optimizers."""


@dataclass(frozen=True)
class Measure:
    """The measure that a study's scores are in.

    Attributes:
        score: Name of the score that judges the study.
        name: Name before a number: ``AP 0.292``.
        unit: Unit behind a number: ``0.021 AP``.
        defined: A sentence that defines the measure; empty for AP, which readers know.
        limits: A sentence on what the measure does not show; empty if none is needed.
    """

    score: ScoreName
    name: str
    unit: str
    defined: str = ""
    limits: str = ""

    @property
    def title(self) -> str:
        """The name as the beginning of a sentence."""
        return self.name[0].upper() + self.name[1:]

    @property
    def is_loss(self) -> bool:
        """Whether it is computed from validation losses, which are then shown beside it."""
        return self.score == LOSS_SCORE


AP = Measure(AP_SCORE, "AP", "AP")
SKILL = Measure(LOSS_SCORE, "skill", "in skill", SKILL_DEFINITION, SKILL_LIMITS)
MEASURES = {each.score: each for each in (AP, SKILL)}
"""Measures by name of the study's score."""
