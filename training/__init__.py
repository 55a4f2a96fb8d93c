"""How `mlx-tiny` came about: the dialogs that it learned from, its tokenizer, its training and its score."""
