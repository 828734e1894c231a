"""The layers that networks are made of, and how their matrices are multiplied."""
