"""`python -m evertrain.cli` is `evertrain`."""

from evertrain.cli import main

main()
