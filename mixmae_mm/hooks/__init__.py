"""Hooks for training: reproducible randomness, progress."""
