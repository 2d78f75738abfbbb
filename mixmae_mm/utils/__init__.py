"""Utilities without models: compatibility, seeds, atomic writes, settings of configs."""
