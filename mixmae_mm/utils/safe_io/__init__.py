"""Reading files without running code that they hold."""
