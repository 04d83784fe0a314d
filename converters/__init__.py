"""From a PyTorch model or an ONNX file to float, INT8 and CPU graphs, with proof."""
