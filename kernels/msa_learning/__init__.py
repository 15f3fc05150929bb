"""How the index branch learns, in PyTorch: the layer with gradients, the loss, models to train."""
