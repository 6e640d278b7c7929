"""Private API of KerasHub that this package uses (written for KerasHub 0.32)."""
