"""Compile the tests once, while libraries are loaded: each process of a run would compile all of them for itself."""

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

TESTS = Path(__file__).resolve().parents[1]


def compile_meanwhile(config: "pytest.Config") -> None:
    """Compile the tests in a thread, if processes of this run are about to import them."""
    if not sys.dont_write_bytecode:
        threading.Thread(target=compile_tests, args=(config,), daemon=True).start()


def compile_tests(config: "pytest.Config", folder: Path = TESTS) -> None:
    """Write the bytecode of a folder's tests where it is missing, with their assertions as pytest rewrites them.

    By pytest's own functions, which are not public: where it has others, each process compiles for itself.
    """
    try:
        from _pytest.assertion import rewrite

        read, rewritten, write = rewrite._read_pyc, rewrite._rewrite_test, rewrite._write_pyc
        state = config.stash[rewrite.assertstate_key]
        for file in sorted(folder.rglob("test_*.py")):
            compiled = rewrite.get_cache_dir(file) / (file.name[:-3] + rewrite.PYC_TAIL)
            if read(file, compiled) is None:
                compiled.parent.mkdir(exist_ok=True)
                source, code = rewritten(file, config)
                write(state, code, source, compiled)
    except (ImportError, AttributeError, KeyError, TypeError, OSError, SyntaxError):
        return
