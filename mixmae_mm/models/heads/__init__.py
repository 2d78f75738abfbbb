"""Heads: the reconstruction loss."""
