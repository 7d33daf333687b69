"""Loads and calls model files: one protocol for every kind. A kind's library is imported when it is needed."""

from evertrain.runtime.artifact import load, recognise
from evertrain.runtime.copy import end_if_copied
from evertrain.runtime.protocol import Codec, Model, encode

__all__ = ["Codec", "Model", "encode", "end_if_copied", "load", "recognise"]
