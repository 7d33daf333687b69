"""What holds for all tests."""

import os
import sys

# The processes that tests start keep their bytecode, as a user's do: without it each compiles the whole package anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
