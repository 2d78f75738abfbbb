"""The checks of check_dataset.py; none of them writes a file."""
