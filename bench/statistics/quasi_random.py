"""Quasi-random points that cover a space evenly."""


def halton(dimensions: int, count: int, seed: int) -> list[list[float]]:
    """Return ``count`` scrambled Halton points (Owen, 2017) of the unit cube; more points begin with the same ones."""
    from scipy.stats import qmc  # takes half a second, and only planning needs it: no worker, and no report

    points: list[list[float]] = qmc.Halton(dimensions, rng=seed).random(count).tolist()
    return points
