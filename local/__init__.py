"""Stand-ins for a laptop: real servers from wheels, the user API's double, the scheduler and the runner."""
