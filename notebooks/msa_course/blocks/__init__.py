"""Lesson "Blocks": its checks, figures and explorer."""
