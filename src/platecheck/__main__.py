"""Entry point of ``python -m platecheck``."""

from platecheck.cli import main

main()
