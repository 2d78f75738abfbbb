"""Losses besides reconstruction."""
