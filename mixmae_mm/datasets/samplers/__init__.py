"""Samplers whose order depends only on the seed and the position."""
