"""The toy family's torch modules, their wrappers, and the pipeline that is their reference."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from diffusers import DiffusionPipeline, ModelMixin
from diffusers.configuration_utils import ConfigMixin, register_to_config


class ToyTextEncoder(ModelMixin, ConfigMixin):
    """Ids (1, 77) to embeddings (1, 77, hidden)."""

    @register_to_config
    def __init__(self, vocab_size: int, hidden_size: int, max_position_embeddings: int) -> None:
        super().__init__()
        del max_position_embeddings  # tokenizers are checked against it
        self.table = torch.nn.Embedding(vocab_size, hidden_size)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.table(ids)


class ToyDenoiser(ModelMixin, ConfigMixin):
    """Latents, timestep and text to noise."""

    @register_to_config
    def __init__(self, latent_channels: int, hidden_size: int) -> None:
        super().__init__()
        self.conv_in = torch.nn.Conv2d(latent_channels, 16, 3, padding=1)
        self.text = torch.nn.Linear(hidden_size, 16)
        self.time = torch.nn.Linear(1, 16)
        self.conv_out = torch.nn.Conv2d(16, latent_channels, 3, padding=1)

    def forward(
        self, latents: torch.Tensor, timestep: torch.Tensor, text: torch.Tensor
    ) -> torch.Tensor:
        bias = self.text(text.mean(dim=1)) + self.time(timestep.reshape(-1, 1) / 1000)
        hidden = self.conv_in(latents) + bias.unsqueeze(-1).unsqueeze(-1)
        return self.conv_out(torch.nn.functional.silu(hidden))


class ToyDecoder(ModelMixin, ConfigMixin):
    """Latents to an image of twice the edge."""

    @register_to_config
    def __init__(self, latent_channels: int) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(latent_channels, 3, 3, padding=1)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        return self.conv(torch.nn.functional.interpolate(latents, scale_factor=2.0))


class Plain(torch.nn.Module):
    """A module as it is, under the name ``model``."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        return self.model(*tensors)


class Guided(torch.nn.Module):
    """Classifier-free guidance in one call."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, latents, timestep, text, negative_text, scale):
        both = self.model(torch.cat([latents] * 2), timestep, torch.cat([negative_text, text]))
        return both[:1] + scale * (both[1:] - both[:1])


class ToyPipeline(DiffusionPipeline):
    """Text to image, as the reference draws it."""

    def __init__(self, words, net, pixels, tokenizer, scheduler) -> None:
        super().__init__()
        self.register_modules(
            words=words, net=net, pixels=pixels, tokenizer=tokenizer, scheduler=scheduler
        )

    def encode(self, text: str) -> torch.Tensor:
        """Return the embeddings of a text, (1, 77, hidden)."""
        ids = self.tokenizer(text, padding="max_length", truncation=True, return_tensors="pt")
        return self.words(ids.input_ids)

    @torch.no_grad()
    def __call__(
        self, prompt, negative_prompt, num_inference_steps, guidance_scale, generator, width,
        height, callback_on_step_end, **_,
    ):  # fmt: skip
        text, negative = self.encode(prompt), self.encode(negative_prompt or "")
        sample = torch.randn(1, 3, height // 2, width // 2, generator=generator)
        self.scheduler.set_timesteps(num_inference_steps)
        for index, time in enumerate(self.scheduler.timesteps):
            noise = Guided(self.net)(sample, time.float(), text, negative, guidance_scale)
            sample = self.scheduler.step(noise, time, sample).prev_sample
            callback_on_step_end(self, index, time, {"latents": sample})
        image = (self.pixels(sample) / 2 + 0.5).clamp(0, 1)
        return SimpleNamespace(images=image.permute(0, 2, 3, 1).numpy())
