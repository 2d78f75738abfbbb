"""Pre-training methods, which connect the parts."""
