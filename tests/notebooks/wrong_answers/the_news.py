"""The news has no exercises."""

WRONG = {}
