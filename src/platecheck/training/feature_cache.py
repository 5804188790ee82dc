"""What a frozen backbone computes, as fast as this machine can.

A frozen backbone is a fixed function, so on a CPU ONNX Runtime may compute it: it folds BatchNorm
into the convolutions and fuses activations, which eager PyTorch does not. Features agree to about
1e-5. On other devices, and where the weights are in a lower precision, PyTorch computes it.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from platecheck.export.onnx_graph import write_onnx


class FrozenBackbone:
    """Features [N, F] of normalised photos [N, 3, H, W], without gradients."""

    def __init__(self, backbone: nn.Module, *, size: int, device: torch.device) -> None:
        self.backbone = backbone
        self.device = device
        self.dtype = next(backbone.parameters()).dtype
        self.session: onnxruntime.InferenceSession | None = None
        if device.type == "cpu" and self.dtype == torch.float32:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "backbone.onnx"
                example = torch.zeros(2, 3, size, size)
                write_onnx(backbone, example, path, inputs=["photos"], outputs=["features"])
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = torch.get_num_threads()
                self.session = onnxruntime.InferenceSession(path.read_bytes(), options)

    @torch.no_grad()
    def __call__(self, photos: Tensor) -> Tensor:
        if self.session is None:
            features: Tensor = self.backbone(photos.to(self.dtype))
            return features
        (found,) = self.session.run(None, {"photos": photos.contiguous().numpy()})
        return torch.from_numpy(found)

    def of_all(self, batches: Iterable[Tensor]) -> Tensor:
        """Features of many batches, one after another, on the CPU."""
        return torch.cat([self(batch.to(self.device)).cpu() for batch in batches])
