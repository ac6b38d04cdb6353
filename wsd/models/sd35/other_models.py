"""Models that diffusers' Stable Diffusion 3 pipeline draws with too, and WSD does not."""

LARGE = "this is Stable Diffusion 3.5 Large, which WSD does not draw: take 3.5 Medium"
FIRST = "this is Stable Diffusion 3 Medium, which WSD does not draw: take 3.5 Medium"
# By what tells them from 3.5 Medium: layers and heads, the width of the transformer, and the edge
# of its table of positions. 3.5 Large has the table of 3 Medium.
LARGE_LAYERS = 38
LARGE_WIDTH = 2432
FIRST_EDGE = 192
