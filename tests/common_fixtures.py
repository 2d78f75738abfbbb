"""Settings and fixtures for all tests."""

import gc
import os

import pytest
import torch
from PIL import Image
from quick_runs import make_runs_quick
from references import SHARED

make_runs_quick()
# small tensors: waiting for a second thread costs more than it gives, above all on a busy machine
torch.set_num_threads(int(os.environ.get('TEST_THREADS', 1)))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0) if torch.cuda.is_available() else torch.default_generator.manual_seed(0)


@pytest.fixture(autouse=True, scope='module')
def little_to_collect():
    """Freeze imported objects: mmengine's datasets run the garbage collector, which would take half a second."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def five_images(tmp_path):
    """Write five images of random pixels; return their files and the pixels (5, 3, 32, 32)."""
    (tmp_path / 'images').mkdir()
    pixels = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    for number, one in enumerate(pixels):
        Image.fromarray(one.permute(1, 2, 0).numpy()).save(tmp_path / f'images/{number}.png')
    return [str(path) for path in sorted((tmp_path / 'images').iterdir())], pixels


def pytest_collection_modifyitems(items):
    """Skip tests whose requirements this machine lacks, with the reason."""
    for item in items:
        if 'shared' in item.keywords and not SHARED.exists():
            item.add_marker(pytest.mark.skip(reason='the larger references are not part of the repository'))
        if 'gpu' in item.keywords and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason='needs a GPU'))
