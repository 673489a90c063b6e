"""What a read costs in a warm container: handlers in this process, with events of API Gateway."""
