"""Decant on a laptop: real servers from wheels, the user API's stand-in, the scheduler and the runner."""
