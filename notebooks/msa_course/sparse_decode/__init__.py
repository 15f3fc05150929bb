"""Lesson "Sparse decode": its checks, figures and explorers."""
