"""Settings from command line > environment > study file > preset > default, each with its origin.

In: layers of text and TOML; out: checked values with their origins. Never opens a study's data or stores.
"""
