"""Boxes of particles: their simulation, theory beside it, and what is found in them."""
