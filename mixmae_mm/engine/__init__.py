"""Parts of a Runner: hooks, optimizers, strategies, and the checks before it starts."""
