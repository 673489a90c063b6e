"""Compares Decant with other ways to do the same work, on one machine and in one run."""
