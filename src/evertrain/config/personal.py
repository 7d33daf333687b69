"""Personal columns of a request: what they may be, since the prediction log holds pseudonyms of them only."""

from evertrain.config.declaration import ServiceSpec, asked_by, outputs_of
from evertrain.config.wording import suggestion
from evertrain.errors import DeclarationError

__all__ = ["refuse_personal"]


def refuse_personal(spec: ServiceSpec, name: str) -> None:
    """DeclarationError for a personal column that is none, has no pseudonym, or would be logged all the same."""
    said = f"Personal column {name!r} of service {spec.name!r}"
    column = next((one for one in spec.inputs.columns if one.name == name), None)
    if column is None:
        raise DeclarationError(f"{said} is not in the request.", suggestion(name, spec.inputs.names))
    if column.type != "string":
        raise DeclarationError(f"{said} is {column.type}; a pseudonym is a text.", "Declare the column as string.")
    handed_on = [out for one in spec.features if name in asked_by(one) for out in outputs_of(one) if out == name]
    if name in spec.vector or handed_on:
        raise DeclarationError(
            f"{said} is given to the model as it is, and what the model is given is logged.",
            "Give the model what is needed of it, by et.request_features(...), or windows of its entity.",
        )
    if name in (*spec.segments, *spec.gate.protect):
        raise DeclarationError(f"{said} is a segment: one for each person tells nothing.", "Take it out of segments.")
