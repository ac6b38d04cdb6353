"""What is known of each model family before a checkpoint is read."""
