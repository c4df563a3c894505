"""The level of the tests."""

ALPHA = 0.05
"""Largest adjusted p of a claim."""
