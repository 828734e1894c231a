"""Layers, recipes, training and stored weights of the graph networks in ``models.py``."""
