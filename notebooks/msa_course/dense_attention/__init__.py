"""Lesson "Dense attention in NumPy": its checks, figures and explorers."""
