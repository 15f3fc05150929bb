"""Lesson "Choosing k": its checks, figures and explorers."""
