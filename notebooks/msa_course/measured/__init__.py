"""Lesson "Measured": its checks, figures and explorers."""
