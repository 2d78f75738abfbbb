"""The decoder, and the pyramid for detectors."""
