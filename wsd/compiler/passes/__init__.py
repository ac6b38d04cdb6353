"""WSD's own passes, one file for each: what goes in and what comes out is in its docstring."""
