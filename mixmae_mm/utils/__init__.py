"""Utilities that involve no models: compatibility, seeds, atomic writes, config settings."""
