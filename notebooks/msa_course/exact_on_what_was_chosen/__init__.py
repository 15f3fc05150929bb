"""Lesson "Exact on what was chosen": its checks, figures and explorers."""
