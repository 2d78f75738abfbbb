"""Layer-wise learning rate decay, and the optimizer wrappers for each precision."""
