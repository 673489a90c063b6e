"""Whatever dies, whenever: nothing is lost, nothing is counted twice, and the next run puts it right."""
