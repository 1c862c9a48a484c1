"""`python -m lungscope` is the command."""

from lungscope.cli.app import main

main()
