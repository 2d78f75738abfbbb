"""The built-in image set: what make_shapes.py draws."""
