"""Data sets in memory: read, verified and hashed with numpy alone, then split, batched and standardised for training.

A data set is one module with a function `load(...) -> ImageDataset` and one YAML in conf/data/. Such modules, `dataset`
and `split` do not import torch, so that a sweep's parent can check the data quickly; `loader` and `datamodule` import it.
"""
