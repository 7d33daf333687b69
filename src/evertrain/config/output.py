"""What a service answers with, as users declare it."""

from typing import Literal

from evertrain.config.option import closed, expect
from evertrain.config.wording import suggestion
from evertrain.core.model import Output
from evertrain.errors import DeclarationError, UserError

__all__ = ["OutputDeclared", "classes", "read_output", "refuse_other_classes"]

OutputDeclared = Literal["probability", "value"] | Output


@closed
def classes(*names: str) -> Output:
    """An output of three classes or more: a model gives a probability to each, and a label names one of them.

    They are kept in sorted order, as libraries number them.

    >>> classes("tram", "bus", "car").names
    ('bus', 'car', 'tram')
    """
    for name in names:
        expect("One of et.classes(...)", name, str, 'each class as a text: et.classes("a", "b", "c")')
    try:
        return Output.of_classes(sorted(names))
    except UserError as error:
        raise DeclarationError(f"et.classes(...): {error.what}", error.remedy) from None


def read_output(service: str, declared: object) -> Output:
    """What `output=` says; DeclarationError with the nearest thing that it could be."""
    if isinstance(declared, Output):
        return declared
    if declared == "value":
        return Output.of_values()
    if declared == "probability":
        return Output()
    remedy = suggestion(str(declared), ("probability", "value"))
    if declared == "classes":
        remedy = 'Name them: output=et.classes("bus", "car", "tram").'
    raise DeclarationError(f"Service {service!r} has the unknown output {declared!r}.", remedy)


def refuse_other_classes(service: str, before: Output, after: Output) -> None:
    """Refuse to change the classes of a service that has versions: their places are in its log and in its models."""
    if before.names == after.names:
        return
    then, now = (f"with {', '.join(one.names)}" if one.names else f"with a {one.kind}" for one in (before, after))
    raise DeclarationError(
        f"Service {service!r} answers {then}; the file declares that it answers {now}.",
        "Its versions, and the labels on record, are about the former: declare the latter under another name.",
    )
