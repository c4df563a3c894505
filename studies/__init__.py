"""The study files that ship: plain TOML, one for each kind and preset; a name is ``<kind>-<preset>.toml``."""
