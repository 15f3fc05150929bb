"""Lesson "Attention is mostly empty": its checks, figures and explorers."""
