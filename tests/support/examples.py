"""How many examples a property is tried on: few in `make test`, a hundred in a proof."""

from hypothesis import settings

PROFILE = "whole"
"""Hypothesis's profile in which tests/proofs/test_long_properties.py runs all properties."""


FEW = 25
"""Examples of a property in `make test`, unless it sets its own number; a hundred in `PROFILE`."""


class Examples:
    """How many examples are tried."""

    whole = False
    """Whether this run is one of the profile `PROFILE`; set by tests/conftest.py before tests are collected."""


def few(examples: int, *, of: int = 100) -> settings:
    """So many examples, of the number that are tried in the profile `PROFILE`."""
    return settings(max_examples=of if Examples.whole else examples)
