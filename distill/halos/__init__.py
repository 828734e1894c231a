"""An extension: haloes of dark matter. A newcomer can skip this folder; nothing outside it is needed to."""
