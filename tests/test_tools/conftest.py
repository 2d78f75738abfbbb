"""Tools that share modules with their neighbors find them, as they do when they are run."""

import sys

from tool_loading import TOOLS

sys.path += [str(TOOLS / 'model_converters'), str(TOOLS / 'dataset_tools'), str(TOOLS / 'docs')]
