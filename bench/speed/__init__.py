"""Benchmarks against a yardstick. In: sizes and a device; out: times of ours and of a plain way, in one run.

Never says a time without its yardstick.
"""
