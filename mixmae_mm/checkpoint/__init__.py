"""Loading of weights, mapping of their names, and the report of what was loaded."""
