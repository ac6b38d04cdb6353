"""Embeddings of long prompts by compel, which knows nothing of WSD: the reference for their chunks.

compel cuts a text that is longer than an encoder takes into chunks and joins what the encoder gives
for each. It weighs words in another way than the web UI and looks at no commas, so texts without
weights and commas are compared.
"""

import torch
from compel import Compel
from compel.embeddings_provider import ReturnedEmbeddingsType, SplitLongTextMode

# Hidden state that conditions the denoiser → what compel calls it.
STATES = {
    None: ReturnedEmbeddingsType.LAST_HIDDEN_STATES_NORMALIZED,
    -2: ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED,
}


def encode_by_compel(pipeline, conditioning, text):
    """Return the states of all encoders side by side, (1, chunks * 77, features).

    Args:
        pipeline: of diffusers, with the encoders and their tokenizers.
        conditioning: of the model's family.
        text: words without commas, weights and what else compel reads as its syntax.
    """
    states = []
    for use in conditioning.encoders:
        compel = Compel(
            getattr(pipeline, use.component.replace("text_encoder", "tokenizer")),
            getattr(pipeline, use.component),
            truncate_long_prompts=False,
            returned_embeddings_type=STATES[use.hidden_state],
            # Behind as many tokens as there is room for.
            split_long_text_mode=SplitLongTextMode.BRUTAL,
        )
        states.append(compel(text))
    return torch.cat(states, dim=-1)
