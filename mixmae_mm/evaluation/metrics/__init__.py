"""Metrics that mmpretrain does not have."""
