"""Names of the files of a report."""

REPORT, RESULT, STUDY = "report.md", "result.json", "study.toml"
RECORDS, CURVES, SEEDS, SUMMARY = "records.csv", "curves.csv", "seeds.csv", "summary.csv"
COMPARISONS, CONTROLS, BEST_SO_FAR, VIEWS = "comparisons.csv", "controls.csv", "best-so-far.csv", "equal-budgets.csv"
CURVES_FIGURE, SEEDS_FIGURE, LR_FIGURE = "learning-curves.png", "seeds.png", "learning-rate.png"
BEST_FIGURE, DIVERGENCE_FIGURE, COST_FIGURE = "best-so-far.png", "divergence.png", "cost.png"
SAMPLES, SHEET = "samples.json", "samples.jpg"
