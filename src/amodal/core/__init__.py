"""What every room shares: batches, tokens, errors, seeds, devices, atomic files, progress."""
