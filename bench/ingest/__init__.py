"""Several ways from page bytes in memory to committed rows in two tables and a cache entry per person."""
