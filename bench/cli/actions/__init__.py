"""What the verbs do. In: what was typed, parsed; out: text on stdout and stderr, an exit code. Never parses a flag.

A verb's own module has its flags alone, so that its help costs no library.
"""
