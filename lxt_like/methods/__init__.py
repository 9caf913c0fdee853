"""Methods around any composite: averages over noise and paths, occlusion, layer by layer views."""

from .channels import channels, top_channels
from .conditional import Conditional, conditional
from .integrated import integrated_gradients
from .occlusion import occlusion
from .smooth import smooth_grad
from .trace import Trace, TraceRow, trace

__all__ = [
    "Conditional",
    "Trace",
    "TraceRow",
    "channels",
    "conditional",
    "integrated_gradients",
    "occlusion",
    "smooth_grad",
    "top_channels",
    "trace",
]
