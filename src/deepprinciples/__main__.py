"""`python -m deepprinciples`: the command line."""

from deepprinciples.cli.main import main

main()
