"""One calibration, three lowerings: Q/DQ on a float graph (`converters.quantization.qdq`), strongly
typed FP16 with Q/DQ (`strong`), and ranges without Q/DQ (`region`); `proof` compares them on a CPU.
"""
