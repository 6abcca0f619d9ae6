"""Rows, pictures, sources, transforms, tokenizers and the bundled set."""
