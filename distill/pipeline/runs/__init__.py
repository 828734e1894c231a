"""Runs through all stages: the cells of benchmarks and tables, and the demonstration."""
