"""Benchmarks: ratios against a baseline of the same run, on a site of their own."""
