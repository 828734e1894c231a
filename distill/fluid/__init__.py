"""An extension: fluids in a periodic box. A newcomer can skip this folder; nothing outside it is needed to."""
