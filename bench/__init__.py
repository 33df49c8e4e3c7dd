"""Latency and throughput benchmarks of seld-edge."""
