"""Embeddings of weighted prompts by diffusers' lpw_stable_diffusion, which knows nothing of WSD.

``fixtures/lpw_states.json`` has what its function ``get_weighted_text_embeddings`` returned in
float32 on the CPU for the trained text encoder of tiny-sd15: ``states, _ =
get_weighted_text_embeddings(pipeline, prompt)``, all other arguments as they are by default, with
the pipeline that :func:`wsd.evaluate.diffusers_reference.load_pipeline` gives. The function is that
of ``examples/community/lpw_stable_diffusion.py`` in huggingface/diffusers at commit
58eb52c0803ea9af3abec60841c2a093bdf1f951, run with diffusers 0.42.1 and PyTorch 2.13.0. Its code is
no part of this repository. Each prompt has, for every token, the first three of 96 features and
then the mean of all of them, to six significant digits.

Two things in which the pipeline reads other than the web UI are left out of the prompts: it takes
no white space before a weight, and it never moves a phrase behind a comma to the next chunk.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

TOKENS = 77


def read_lpw_states() -> dict[str, np.ndarray]:
    """Return states by prompt, (chunks, tokens, 4) float32, as of :func:`reduce_states`."""
    path = Path(__file__).parent / "fixtures" / "lpw_states.json"
    cases = json.loads(path.read_text(encoding="utf-8"))
    return {case["prompt"]: np.float32(case["states"]).reshape(-1, TOKENS, 4) for case in cases}


def reduce_states(states: np.ndarray) -> np.ndarray:
    """Return what the fixture has of states (chunks * tokens, features): (chunks, tokens, 4)."""
    found = np.concatenate([states[:, :3], states.mean(axis=1, keepdims=True)], axis=1)
    return found.reshape(-1, TOKENS, 4)


def bring_back_means(theirs: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """Scale each chunk of the pipeline's states so that its mean is that of ours.

    In the end, weighing multiplies a chunk by one number, which brings a mean back: the mean of the
    chunk in the web UI, and of all chunks together in the pipeline. Everything else is compared.
    """
    means = [states[..., 3].mean(axis=1)[:, None, None] for states in (ours, theirs)]
    return theirs * (means[0] / means[1])
