"""One file a task: what a kind of model is asked, what its target means, how it is named."""

from .base import Task
from .choose import task_for

__all__ = ["Task", "task_for"]
