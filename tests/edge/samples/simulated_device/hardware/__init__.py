"""What works on the simulated GPU: memory, streams, PTX modules and the kernel."""
