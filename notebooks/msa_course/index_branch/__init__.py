"""Lesson "The index branch": its checks, figures and explorer."""
