"""Layer decay, and optimizer wrappers that know the precision."""
