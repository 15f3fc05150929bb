"""Lesson "Blocks": its checks, figures and explorers."""
