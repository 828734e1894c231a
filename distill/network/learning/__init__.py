"""How networks learn: steps, the loop and its checkpoints, when it stops, and what is done to weights afterwards."""
