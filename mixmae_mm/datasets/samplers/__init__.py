"""Samplers whose order depends on the seed and the position alone."""
