"""Metrics of the worker's process."""

import sys
import time

from prometheus_client import ProcessCollector


class ProcessMetrics(ProcessCollector):
    """Reads only /proc/self, since a service manager may hide the rest (`ProcSubset=pid`).

    prometheus_client reads the time of the boot from /proc/stat, and has no metrics without it.
    """

    def _boot_time(self) -> float:
        if sys.platform != "linux":
            raise OSError("no /proc")
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
