"""An extension: networks of energies. A newcomer can skip this folder; nothing outside it is needed to."""
