"""TensorRT engines: building one, its header, sidecar and layers."""
