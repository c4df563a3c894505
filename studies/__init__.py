"""The study files that ship, as TOML: ``<kind>-<preset>.toml``, and ``<kind>.toml`` for the preset `full`.

`bench.settings.presets` lists them; this folder holds no code.
"""
