"""Run a bundle: serve it, drive Chromium or Dawn, draw a picture."""
