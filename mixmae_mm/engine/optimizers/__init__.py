"""Layer decay, and the optimizer wrappers of each precision."""
