"""Extensions: folders that a newcomer can skip, plugged in by role. Nothing outside such a folder imports it.

The core asks ``modules(role)`` where a role is played, and says there what a module of the role defines. A new
extension is a folder with some such modules and their names below.
"""

import importlib

ROLES = {
    "networks": ("distill.hamiltonian.network",),  # asked by distill.network.architectures
    "systems": ("distill.fluid.lennard_jones",),  # by distill.physics.systems
    "law forms": ("distill.fluid.sigma_epsilon",),  # by distill.law.account
    "law accounts": ("distill.hamiltonian.account",),  # by distill.pipeline.search_law
    "simulations": ("distill.fluid.simulation",),  # by distill.physics.simulation
    "comparisons": ("distill.fluid.comparison",),  # by distill.generalization.comparison
    "report": ("distill.fluid.section",),  # by distill.report.parts
}


def modules(role: str) -> list:
    """The modules that play ``role``, imported as they are first asked for."""
    return [importlib.import_module(name) for name in ROLES[role]]
