"""Operators written in TE, which becomes TIR, and the schedules of their loops."""
