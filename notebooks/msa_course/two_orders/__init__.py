"""Lesson "Two orders of work": its checks, figures and explorers."""
