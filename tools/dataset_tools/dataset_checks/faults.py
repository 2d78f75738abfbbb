"""What can be wrong with any folder of images."""

from mixmae_mm.datasets.directory_walk import EXTENSIONS
from mixmae_mm.engine.checks.report import Fault

NO_FOLDER = Fault('error', 'no such folder', 'unpack the data there, or correct the path')
NO_IMAGES = Fault('error', 'no images', f'put files there that end in {" ".join(EXTENSIONS)}')
MISSING = Fault(
    'error',
    'files that are missing',
    'unpack them, or correct where they are looked for: --images; data_root, data_prefix or ann_file in a config',
)
EMPTY = Fault('error', 'empty files (0 bytes)', 'copy or unpack them again')
CUT_OFF = Fault('error', 'images that are cut off', 'copy or unpack them again')
BROKEN = Fault('error', 'files that cannot be read as images', 'copy them again, or delete them')
OTHERS = Fault('warning', 'files that are no images by their extension, and are left out', 'nothing, or delete them')
