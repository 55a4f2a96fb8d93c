"""The making of `mlx-tiny`: training dialogs, tokenizer, training, and the probe that scores it."""
