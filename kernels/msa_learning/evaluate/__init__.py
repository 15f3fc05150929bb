"""How good an index is: recall, needles, perplexity, and the records of it."""
