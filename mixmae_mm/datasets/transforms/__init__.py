"""Transforms of image pipelines."""
