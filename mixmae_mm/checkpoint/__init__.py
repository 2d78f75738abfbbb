"""Weights in and out: loading, names of weights, and the report of what was loaded."""
