"""The optimizer that docs/guide/own-optimizer.md shows can be named, has the range that the page gives, and learns."""

import re
import sys

import pytest
import torch

from bench.optimizers import optimizer_entry
from bench.optimizers.spaces import parse_space, spaces_of
from tests.conftest import REPOSITORY

PAGE = (REPOSITORY / "docs" / "guide" / "own-optimizer.md").read_text()


@pytest.fixture
def own_module(hermetic, monkeypatch):
    (hermetic / "my_package.py").write_text(re.search(r"^```python\n(.*?)^```", PAGE, re.M | re.S)[1])
    monkeypatch.syspath_prepend(hermetic)
    yield
    sys.modules.pop("my_package", None)


@pytest.mark.usefixtures("own_module")
def test_the_page_s_optimizer_learns():
    weight = torch.nn.Parameter(torch.tensor([1.0, -1.0]))
    optimizer = optimizer_entry("my_package.Lion").factory({"lr": 0.01})([weight])
    for _ in range(200):
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()
    assert weight.abs().max() < 0.05


@pytest.mark.parametrize("text", re.findall(r'--space "(.*?)"', PAGE))
@pytest.mark.usefixtures("own_module")
def test_a_space_of_the_page_fits_its_optimizer(text):
    name, space = parse_space(text)
    if "." in name:
        pytest.importorskip(name.partition(".")[0])  # `my_package` is written by the fixture
    assert set(spaces_of([name], {name: space}, {name: "command line"})[name]) >= {"lr"}
