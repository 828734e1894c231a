"""From formulas to a law: refit on accelerations, selection, constants and verdict."""
