"""Kernels in Numba for CPU tensors; `hybridnets.kernels` has the map."""
