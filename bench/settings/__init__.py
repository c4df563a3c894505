"""Settings: command line > environment > study file > preset > default, and where each value came from.

In: layers of text and TOML; out: checked values with their origins. Never opens a study's data or stores.
"""
