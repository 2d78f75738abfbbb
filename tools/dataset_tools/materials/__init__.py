"""The built-in image set: what make_materials.py draws."""
