"""Load common_fixtures.py, except in the pytest-xdist process that only distributes tests."""

import gc
import importlib


def pytest_configure(config):
    """Import the fixtures only where tests run, which saves the distributing process seven seconds."""
    if hasattr(config, 'workerinput') or not config.getoption('numprocesses', 0):
        gc.disable()  # imports produce no garbage
        config.pluginmanager.register(importlib.import_module('common_fixtures'))


def pytest_collection_finish():
    gc.enable()
