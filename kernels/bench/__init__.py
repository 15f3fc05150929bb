"""Benchmarks of the kernels: correctness first, then times beside their closed-form bounds."""
