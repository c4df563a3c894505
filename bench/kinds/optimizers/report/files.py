"""Names of the report files that only optimizers studies have."""

CURVES, SEEDS, SUMMARY = "curves.csv", "seeds.csv", "summary.csv"
COMPARISONS, CONTROLS, VIEWS = "comparisons.csv", "controls.csv", "equal-budgets.csv"
FOREST_FIGURE, SEEDS_FIGURE, CURVES_FIGURE = "differences.png", "seeds.png", "learning-curves.png"
LOSS_FIGURE, LR_FIGURE, COST_FIGURE = "validation-loss.png", "learning-rate.png", "cost.png"
SAMPLES, SHEET = "samples.json", "samples.jpg"
