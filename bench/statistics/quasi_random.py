"""Points that cover a space evenly."""


def halton(dimensions: int, count: int, seed: int) -> list[list[float]]:
    """So many scrambled Halton points (Owen, 2017) of the unit cube; the first are the same for any number."""
    from scipy.stats import qmc  # half a second, and only who plans needs it: no worker, and no report

    points: list[list[float]] = qmc.Halton(dimensions, rng=seed).random(count).tolist()
    return points
