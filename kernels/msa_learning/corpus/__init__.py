"""Training and evaluation text as tokens."""
