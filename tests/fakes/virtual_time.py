"""The event loop whose clock jumps to the next timer: the benchmarks run on the same one."""

from benchmarks.virtual_time import VirtualLoop, run_virtual

__all__ = ["VirtualLoop", "run_virtual"]
