"""`python -m evertrain` is `evertrain`."""

from evertrain.cli import main

main()
