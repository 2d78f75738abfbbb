"""The decoder, and a feature pyramid for detectors."""
