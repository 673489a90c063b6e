"""Decant on AWS: its package, what Chalice cannot create, and the commands that deploy and destroy it."""
