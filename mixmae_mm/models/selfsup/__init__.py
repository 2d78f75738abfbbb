"""The methods, as wiring."""
