"""The language models that an index is trained beside."""
