"""The data sets and loaders that docs/loaders.md shows, as a person names them."""

import re
import sys

import pytest

from bench.kinds.loaders.data import own_loader_settings, own_loader_workload, workload_of
from bench.measure.loader import isolated
from bench.measure.loader.comparison import look_at_samples
from bench.measure.loader.configuration import configuration
from bench.measure.loader.sharding import Sharding
from tests.conftest import REPOSITORY
from tests.support.asked import prepared
from tests.support.forking_process import forked_starts

PAGE = (REPOSITORY / "docs" / "loaders.md").read_text()


@pytest.fixture
def spec(hermetic, monkeypatch):
    """A study of the page's data set and loader."""
    (hermetic / "my_package.py").write_text("\n\n".join(re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)))
    monkeypatch.syspath_prepend(hermetic)
    monkeypatch.chdir(hermetic)
    asked = {"dataset": "my_package:Stream", "loader": "my_package:make_loader", "num_workers": "0,2"}
    yield prepared("loaders", asked | {"batch_size": "200"}, None, "smoke", None).spec
    sys.modules.pop("my_package", None)


def test_the_page_s_stream_is_shared_by_its_workers(spec):
    with forked_starts(isolated):
        found = look_at_samples(workload_of(spec), batch_size=4, most_workers=2, seconds=60.0, stall_s=60.0)
    assert found.error == ""
    assert found.value.sharding == Sharding.BY_WORKER
    loader = workload_of(spec).open_loader(configuration(batch_size=4, num_workers=2), batches=2).loader
    assert [batch[:, 0, 0, 0].tolist() for batch in loader] == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_the_page_s_loader_is_one_more_configuration(spec):
    (settings,) = own_loader_settings(spec, pinning=False)
    opened = own_loader_workload(spec).open_loader(settings, batches=5)
    assert [opened.count_images(batch) for batch in opened.loader] == [200, 200]
