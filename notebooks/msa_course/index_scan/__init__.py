"""Lesson "The index scan": its checks, figures and explorers."""
