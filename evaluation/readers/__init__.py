"""Readers of the official files of benchmarks, one module a shape."""
