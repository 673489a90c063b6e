"""Whatever fails, at any time: nothing is lost, nothing is counted twice, and the next run recovers."""
