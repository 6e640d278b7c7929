"""Private API of torch that this package uses (written for torch 2.13, used with 2.5 and later)."""
