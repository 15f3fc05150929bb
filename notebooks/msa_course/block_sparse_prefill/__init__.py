"""Lesson "Block-sparse prefill": its checks, figures and explorers."""
