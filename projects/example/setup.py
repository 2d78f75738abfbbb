"""An installable package of one backbone; `pip install -e .` beside an installed mixmae_mm."""

from setuptools import setup

setup(name='my_mixing', version='0.1.0', packages=['my_mixing'], install_requires=['mixmae_mm'])
