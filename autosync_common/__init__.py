"""What at least two of the tools need; imports no tool."""

__version__ = "1.0.0.dev0"
