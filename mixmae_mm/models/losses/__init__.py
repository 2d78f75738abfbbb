"""Losses beside the reconstruction."""
