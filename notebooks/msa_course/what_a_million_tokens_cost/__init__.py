"""Lesson "What a million tokens cost": its checks, figures and explorer."""
