"""Read adapters (LoRA, LoCon, LoHa, LoKr, DoRA) and merge them into a checkpoint's weights."""
