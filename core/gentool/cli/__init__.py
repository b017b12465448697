"""The command line: one module for each command, each a thin shell over the API."""
