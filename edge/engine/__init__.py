"""TensorRT engines: one builder for every release, the plan's header, its sidecar and its proof."""
