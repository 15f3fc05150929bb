"""Lesson "The family album": its checks, figures and explorers."""
