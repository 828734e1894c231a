"""What the edges of a trained network send, and the pair forces read from it."""
