"""Lambda handlers that give out one person and a list of people, each by another framework.

They share what they read with, so that only the framework differs. None sets a header of its own, logs or
counts; Decant's handler does, and competes with its whole self.
"""
