"""Write torch modules as ONNX graphs."""

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

OPSET = 17


def write_onnx(
    module: nn.Module, example: Tensor, path: Path, *, inputs: list[str], outputs: list[str]
) -> None:
    """Export a module in evaluation mode to ONNX, with a dynamic batch dimension.

    The TorchScript exporter takes 2 s where the newer one takes 13, and ONNX Runtime's
    quantization is tested with its graphs.
    """
    was_training = {child: child.training for child in module.modules()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (example,),
            str(path),
            input_names=inputs,
            output_names=outputs,
            dynamic_axes={name: {0: "photos"} for name in (*inputs, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    for child, training in was_training.items():
        child.training = training
