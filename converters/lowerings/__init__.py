"""Other forms of int8.onnx: CPU, strongly typed, implicit, DLA, dynamic batch."""
