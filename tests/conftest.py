"""Settings and fixtures come from common_fixtures.py, but for the process that hands tests out and runs none."""

import importlib


def pytest_configure(config):
    """Spare that process seven seconds of imports."""
    if hasattr(config, 'workerinput') or not config.getoption('numprocesses', 0):
        config.pluginmanager.register(importlib.import_module('common_fixtures'))
