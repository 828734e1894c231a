"""Which recipe fits what the data say of its assumptions."""

from collections.abc import Mapping

from distill.network.recipes import RECIPES


def broken_by(recipe: str, found: Mapping[str, Mapping]) -> dict[str, list[str]]:
    """What a recipe assumes, in words -> why that does not hold; ``found``: of ``assumptions.assumptions``."""
    assumed = RECIPES[recipe].assumes
    return {words: list(found[name]["why"]) for name, words in assumed.items() if name in found and _fails(found[name])}


def _fails(one: Mapping) -> bool:
    return not one["holds"]


def advice(recipe: str, found: Mapping[str, Mapping]) -> str | None:
    """A sentence where ``recipe`` assumes what is not so: another that assumes less of it, or that there is none."""
    broken = broken_by(recipe, found)
    if not broken:
        return None
    told = [f"{words}, which these data violate ({'; '.join(why)})" for words, why in broken.items()]
    said = f"recipe {recipe} assumes {', and '.join(told)}"
    others = {name: set(broken_by(name, found)) for name in RECIPES if name != recipe}
    better = [name for name, left in others.items() if left < set(broken)]
    if not better:
        return f"{said}; no recipe assumes less"
    best = min(better, key=lambda name: (len(others[name]), list(RECIPES).index(name)))
    return f"{said}: --recipe {best}"
