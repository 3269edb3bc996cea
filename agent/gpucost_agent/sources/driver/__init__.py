"""The NVIDIA driver: GPUs, their samples, processes, instances. May know gpucost and the readings."""
