"""Models by role, one file each."""
