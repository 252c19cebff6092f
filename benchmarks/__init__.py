"""Throughput against peers, on the machine at hand: ``python -m benchmarks``."""
