"""A law as programs of others: a module of NumPy, forces of OpenMM, tables of LAMMPS."""
