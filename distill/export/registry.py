"""The words of an export: which programs a law can be written for, and the file that each reads.

Adding a program: its line here, and the function that writes it in ``distill.export.programs``, which is imported
when something is written, so that a command line knows the words before any numerical library is loaded.
"""

PROGRAMS = {"openmm": "law_openmm.py", "lammps": "law.table"}
