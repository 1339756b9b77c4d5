"""Kernels in Triton for CUDA tensors; `hybridnets.kernels` has the map."""
