"""What a model file says of itself, as far as it says anything."""

import msgspec

from evertrain.core.model import Output
from evertrain.core.schema import Column, Input

__all__ = ["Description"]


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """None where the file does not say.

    width: how many inputs it takes. columns: what a caller sends; vector: the same in the model's order, with the
    categories that it knows; there may be a vector without columns, where types are not known. generic: the names are
    the library's, nobody chose them. output: what a score is. text: whether it may take texts as they are, and not as
    numbers of categories.
    """

    width: int | None = None
    columns: tuple[Column, ...] | None = None
    vector: tuple[Input, ...] | None = None
    generic: bool = False
    output: Output | None = None
    text: bool = False
