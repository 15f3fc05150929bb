"""Lesson "Teaching the index": its checks, figures and explorers."""
