"""Events -> files, programs and brokers; statistics of a run -> metrics."""
