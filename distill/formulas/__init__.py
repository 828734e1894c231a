"""Formulas and nothing else: text, trees, evaluation, fits, repairs and comparison."""
