"""Symbolic regression: engines, targets and the choice of a formula."""
