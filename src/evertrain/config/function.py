"""References to the user's functions and estimators, taken when a declaration is read."""

from collections.abc import Callable, Iterable
from typing import Any

from evertrain.config.declaration import FunctionRef, ServiceSpec, TrainingSpec
from evertrain.config.namespace import module_of
from evertrain.errors import DeclarationError, NotFoundError

__all__ = ["EstimatorRecipe", "declared_estimator", "is_estimator", "refer"]


def refer(function: Callable[..., Any], purpose: str) -> FunctionRef:
    """The reference to a function that stands at the top level of a module.

    A reference must find the same function in another process and in a year, so a lambda or a function made inside
    another one is refused.

    >>> refer(len, "a cleaning function")
    FunctionRef(module='builtins', name='len')
    """
    name = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if not isinstance(name, str) or not isinstance(module, str):
        raise DeclarationError(f"{function!r} is not a function ({purpose}).", "Name a function of a module.")
    if "<" in name:
        raise DeclarationError(
            f"{name} of {module} cannot be found again by name ({purpose}).",
            "Define it with def at the top level of a module; lambdas and inner functions have no lasting name.",
        )
    if module == "__main__":
        raise DeclarationError(
            f"{name} stands in a script that is being run ({purpose}).",
            "Start the file with `evertrain up FILE` instead of running it with Python.",
        )
    return FunctionRef(module=module_of(module), name=name)


class EstimatorRecipe(TrainingSpec, frozen=True, kw_only=True, forbid_unknown_fields=True, dict=True):
    """A recipe whose estimator rides along as the attribute `object`: in this process only, never in its JSON."""

    @classmethod
    def of(cls, estimator: object, spec: TrainingSpec) -> "EstimatorRecipe":
        """The recipe `spec` with the object that it stands for."""
        recipe = cls(**{name: getattr(spec, name) for name in spec.__struct_fields__})
        vars(recipe)["object"] = estimator
        return recipe


def is_estimator(thing: object) -> bool:
    """Whether it has what every estimator of scikit-learn's conventions has: parameters, and a way to fit.

    >>> is_estimator(len)
    False
    """
    return not isinstance(thing, type) and all(callable(getattr(thing, name, None)) for name in ("fit", "get_params"))


def declared_estimator(services: Iterable[ServiceSpec], service: str, recipe: str) -> Any:
    """The estimator of a recipe, from the services of an imported declaration.

    Raises NotFoundError when the declaration does not hold it.
    """
    found = next((one.recipes.get(recipe) for one in services if one.name == service), None)
    estimator = getattr(found, "object", None)
    if estimator is None:
        raise NotFoundError(
            f"The declaration of service {service!r} holds no estimator as recipe {recipe!r}.",
            "Assign the service to a name at the top level of the file that `evertrain up` is given.",
        )
    return estimator
