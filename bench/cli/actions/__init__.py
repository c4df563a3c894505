"""The work of the verbs. In: parsed arguments; out: text on stdout and stderr, an exit code. Never parses a flag.

The flags are in the verb's module one folder up, so that help needs no heavy library.
"""
