"""TIR of our own: operators as TE, and the schedules of their loops."""
