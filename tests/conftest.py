"""What holds for all tests."""

import os

import torch
from hypothesis import settings

# one thread: the tensors are tiny, and threads only get in each other's way
torch.set_num_threads(1)

# one machine's luck must not decide: with CI set the same examples are drawn every time
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")
