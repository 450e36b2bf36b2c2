"""The machine: the kernel, files, programs."""
