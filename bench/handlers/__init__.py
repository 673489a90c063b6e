"""Lambda handlers that return one person or a list of people, each built with another framework.

They share the code that reads, so that only the framework differs. None of them sets headers of its own, logs
or counts. Decant's handler does all of it, and competes as it is.
"""
