"""From page bytes in memory to committed rows in two tables and a cache entry each, by several ways."""
