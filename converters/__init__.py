"""From PyTorch or ONNX to float, INT8 and CPU graphs, with proof."""
