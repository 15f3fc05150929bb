"""Lesson "The news": its numbers, figures and explorer."""
