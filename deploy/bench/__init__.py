"""Benchmarks: how fast, at what cost. They start a stack of their own in a folder that is gone afterwards."""
