"""Events -> files, programs and brokers."""
