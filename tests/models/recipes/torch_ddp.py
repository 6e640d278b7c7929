"""Train with several processes on torch: `DistributedDataParallel`, as for any torch module.

    KERAS_BACKEND=torch torchrun --nproc-per-node 2 -m tests.models.recipes.torch_ddp

Each process takes every second example; gradients are averaged, so that the losses are those of one
process. Here with gloo, on the CPU; on GPUs take "nccl" and move inputs and model to
`cuda:{local rank}`.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "torch")

import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from tests.models.recipes.example import make_data, make_model


def main(steps=3):
    distributed.init_process_group("gloo")
    rank, processes = distributed.get_rank(), distributed.get_world_size()
    model = DistributedDataParallel(make_model())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs, labels = make_data()
    inputs = {name: torch.from_numpy(x[rank::processes]) for name, x in inputs.items()}
    labels = torch.from_numpy(labels[rank::processes]).long()
    losses = []
    for _ in range(steps):
        loss = torch.nn.functional.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        mean = loss.detach() / processes
        distributed.all_reduce(mean)
        losses.append(mean.item())
    if rank == 0:
        print("losses", *losses, flush=True)
    distributed.barrier()  # nobody leaves while another still talks to it
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
