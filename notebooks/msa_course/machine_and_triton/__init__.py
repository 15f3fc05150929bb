"""Lesson "The machine, and Triton": its checks, figures and explorers."""
