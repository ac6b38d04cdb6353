"""Read checkpoints: diffusers folders, single files, hub repositories, random weights."""
