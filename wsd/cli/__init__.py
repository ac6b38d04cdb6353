"""The command line: parse options, call one room, print the result."""
