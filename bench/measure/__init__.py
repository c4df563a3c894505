"""Measuring the machine: what it is, and what its GPU does while something runs."""
