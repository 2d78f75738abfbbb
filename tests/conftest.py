"""Settings and fixtures come from common_fixtures.py, but for the process that hands tests out and runs none."""

import gc
import importlib


def pytest_configure(config):
    """Spare that process seven seconds of imports."""
    if hasattr(config, 'workerinput') or not config.getoption('numprocesses', 0):
        gc.disable()  # while everything is imported, of which nothing is garbage
        config.pluginmanager.register(importlib.import_module('common_fixtures'))


def pytest_collection_finish():
    gc.enable()
