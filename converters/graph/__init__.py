"""The ONNX graph: an index over it, and the activations a runtime fuses."""
