"""Private API of torch that this package uses (written for torch 2.13, used with 2.5 and later)."""

import torch

# Modules.


class WatchedModule(torch.nn.Module):
    """A module that is told what torch does with its tensors.

    torch 2.13 has no public hook for `to`, `half` and the like or for the copies that
    `torch.nn.DataParallel` makes, and torch 2.5 none for loading: torch's own modules override the
    same methods. This can go when it has.
    """

    def before_load(self, state_dict, prefix):
        """Called before the tensors of a state dict that begin with `prefix` are taken from it."""

    def after_conversion(self):
        """Called after device or dtype of the tensors may have changed."""

    def check_replication(self):
        """Called before a copy for `torch.nn.DataParallel` is made."""

    def _load_from_state_dict(self, state_dict, prefix, *args):
        self.before_load(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _apply(self, fn, recurse=True):
        super()._apply(fn, recurse)
        self.after_conversion()
        return self

    def _replicate_for_data_parallel(self):
        self.check_replication()
        return super()._replicate_for_data_parallel()
