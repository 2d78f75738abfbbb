"""What the models are built from."""
