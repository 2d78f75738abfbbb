"""Tools that share modules with their neighbors find them, as they do when they are run."""

import sys

from tool_loading import TOOLS

sys.path += [str(TOOLS / name) for name in ('model_converters', 'dataset_tools', 'docs', 'visualization')]
