"""Lesson "The news": its checks, figures and explorers."""
