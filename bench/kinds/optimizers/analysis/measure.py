"""The measure that a study compares optimizers by, in words: AP, or the skill of the validation loss."""

from dataclasses import dataclass

from bench.trials.score_names import AP_SCORE, LOSS_SCORE, ScoreName

SKILL_IS = "Skill: the share of the loss of finding nobody that the network takes away; 0 finds nobody, 1 is perfect."
NO_AP = (
    "A lower validation loss need not find more people, and some skill takes no look at the picture: compare by AP as "
    "soon as it is above chance."
)

AP_IS_THERE = "Here it is above chance for all of them: compare by it, with `--score ap` under another `--name`."
"""Said where it is so."""


@dataclass(frozen=True)
class Measure:
    """What scores are.

    Attributes:
        score: What the study judges by.
        name: Before a number: ``AP 0.292``.
        unit: Behind one: ``0.021 AP``.
        defined: What it is, a sentence; empty where everybody knows.
        limits: What it does not tell, a sentence; empty where nothing is to be said.
    """

    score: ScoreName
    name: str
    unit: str
    defined: str = ""
    limits: str = ""

    @property
    def title(self) -> str:
        """Its name at the beginning of a sentence."""
        return self.name[0].upper() + self.name[1:]

    @property
    def is_loss(self) -> bool:
        """Whether it is made of validation losses: these are shown beside it."""
        return self.score == LOSS_SCORE


AP = Measure(AP_SCORE, "AP", "AP")
SKILL = Measure(LOSS_SCORE, "skill", "in skill", SKILL_IS, NO_AP)
MEASURES = {each.score: each for each in (AP, SKILL)}
"""By what a study judges by."""
