"""Encoders for pre-training and transfer."""
