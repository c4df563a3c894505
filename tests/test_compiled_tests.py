"""Tests that are compiled before the processes of a run import them."""

import importlib.util
import sys
import types

import pytest
from _pytest.assertion import rewrite

from tests.support.compiled_tests import compile_tests

SOURCE = "def test_it():\n    left = [1, 2]\n    assert left == [1, 3]\n"


def test_what_was_compiled_is_what_pytest_takes_with_its_assertions_rewritten(pytestconfig, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    file = tmp_path / "more" / "test_it.py"
    file.parent.mkdir()
    file.write_text(SOURCE)
    (tmp_path / "plain.py").write_text(SOURCE)
    compile_tests(pytestconfig, tmp_path)
    (compiled,) = tmp_path.rglob("*.pyc")
    code = rewrite._read_pyc(file, compiled)
    module = types.ModuleType("compiled")
    exec(code, vars(module))
    with pytest.raises(AssertionError, match=r"assert \[1, 2\] == \[1, 3\]"):
        module.test_it()

    def again(*_):
        raise AssertionError("it was compiled before")

    monkeypatch.setattr(rewrite, "_rewrite_test", again)
    hook = next(each for each in sys.meta_path if isinstance(each, rewrite.AssertionRewritingHook))
    spec = importlib.util.spec_from_file_location("test_it", file, loader=hook)
    hook.exec_module(importlib.util.module_from_spec(spec))
    compile_tests(pytestconfig, tmp_path)


def test_a_test_that_cannot_be_compiled_is_left_to_pytest(pytestconfig, tmp_path):
    (tmp_path / "test_wrong.py").write_text("def\n")
    compile_tests(pytestconfig, tmp_path)
    assert not [*tmp_path.rglob("*.pyc")]
