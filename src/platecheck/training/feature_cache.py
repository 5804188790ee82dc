"""Features of a frozen backbone.

On a CPU ONNX Runtime computes them: it folds BatchNorm into the convolutions and fuses
activations, which eager PyTorch does not. Features agree to about 1e-5. On other devices and in
lower precisions PyTorch does.
"""

import tempfile
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor, nn

from platecheck.training.onnx_graph import write_onnx


class FrozenBackbone:
    """Computes features [N, F] of normalized photos [N, 3, H, W], without gradients."""

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
            features: Tensor = self.backbone(photos.to(self.device, self.dtype))
            return features
        (found,) = self.session.run(None, {"photos": photos.contiguous().numpy()})
        return torch.from_numpy(found)
