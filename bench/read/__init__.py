"""The cost of a read in a warm container: handlers in this process, with API Gateway's events."""
