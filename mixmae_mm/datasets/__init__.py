"""Any folder of pictures, and loading that repeats exactly when a run is resumed."""
