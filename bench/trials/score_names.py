"""Names of the scores by which a study may judge its trials; a separate module so that settings import it quickly."""

from typing import Literal

ScoreName = Literal["ap", "val_loss"]
"""Score by which a study judges its trials: AP (higher is better) or validation loss (lower is better)."""
AP_SCORE: ScoreName = "ap"
LOSS_SCORE: ScoreName = "val_loss"
