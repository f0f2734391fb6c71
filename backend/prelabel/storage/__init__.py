"""Files, shards of arrays, memory, threads and progress."""
