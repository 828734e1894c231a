"""The engine PySR, which needs Julia."""
