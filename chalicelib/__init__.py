"""Decant's rooms: everything that the Lambdas share. Each module owns one concern and one library."""

__version__ = "0.3.0"
