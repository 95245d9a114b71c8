"""Who runs it: engines, devices, batching."""
