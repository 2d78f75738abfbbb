"""Settings for all tests."""

import pytest
import torch
from references import SHARED

# small tensors: waiting for a second thread costs more than it gives, above all on a busy machine
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pytest_collection_modifyitems(items):
    """Skip, with the reason, what this machine lacks."""
    for item in items:
        if 'shared' in item.keywords and not SHARED.exists():
            item.add_marker(pytest.mark.skip(reason='the larger references are not part of the repository'))
        if 'gpu' in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason='needs a GPU'))
