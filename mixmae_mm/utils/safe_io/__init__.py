"""Reading files without running code in them, and writing checkpoints with a checksum."""
