"""The git driver."""
