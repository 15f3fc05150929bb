"""Pictures and explorers: pure figures, thin widgets around them, one palette."""
