"""Users without a name or a home get stand-ins, with which the libraries can be imported; all others keep theirs."""

import getpass
import multiprocessing
import os
from pathlib import Path

import pytest

from bench.storage.user_environment import NOWHERE, provide_user_environment

NAMES = ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME")


def test_whoever_has_a_name_and_a_home_keeps_them(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USER", "me")
    before = dict(os.environ)
    provide_user_environment()
    assert dict(os.environ) == before


def unknown():
    os.setuid(54321)
    for name in NAMES:
        os.environ.pop(name, None)
    with pytest.raises(RuntimeError):
        Path.home()
    provide_user_environment()
    assert str(Path.home()) == NOWHERE
    assert getpass.getuser() == "user-54321"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user")
def test_an_unknown_user_gets_both():
    child = multiprocessing.get_context("fork").Process(target=unknown)
    child.start()
    child.join()
    assert child.exitcode == 0
