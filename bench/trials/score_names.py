"""What a study may judge its trials by: for settings, which cost no import."""

from typing import Literal

ScoreName = Literal["ap", "val_loss"]
"""What a study judges its trials by."""
AP_SCORE: ScoreName = "ap"
LOSS_SCORE: ScoreName = "val_loss"
