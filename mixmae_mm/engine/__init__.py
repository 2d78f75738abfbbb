"""What a Runner is given: hooks, optimizers, strategies, and the checks before it starts."""
