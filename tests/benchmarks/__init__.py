"""Benchmarks: ``python -m resnet_demo bench`` and ``bench_ray``; see README.md beside this file."""
