"""`python -m lungscope` is the command."""

from lungscope.cli import main

main()
