"""What quantized networks keep of float's predictions on held-back frames."""
