"""Breaks a stack of its own on purpose while sales flow, and proves from outside that nothing went lost or twice."""
