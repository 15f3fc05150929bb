"""Lesson "Which blocks would you read?": its checks, figures and explorers."""
