"""Lesson "The whole layer": its checks, figures and explorers."""
