"""The outside systems of the catalogue."""
