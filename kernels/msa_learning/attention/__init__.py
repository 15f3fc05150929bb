"""The layer with gradients: selection, block-sparse attention, the loss of the index."""
