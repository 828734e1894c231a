"""The baseline without a network: the pair force as splines, fitted to net forces."""
