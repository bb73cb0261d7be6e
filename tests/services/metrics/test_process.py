"""Metrics of the process, also where /proc has only processes."""

import time
from pathlib import Path

from prometheus_client import CollectorRegistry

from app.services.metrics.process import ProcessMetrics


def test_a_proc_without_system_files_is_enough(tmp_path: Path) -> None:
    (tmp_path / "self").symlink_to("/proc/self")
    registry = CollectorRegistry()
    ProcessMetrics(registry=registry, proc=str(tmp_path))
    for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds"):
        assert registry.get_sample_value(f"process_{name}"), name
    started = registry.get_sample_value("process_start_time_seconds")
    assert started
    assert 0 <= time.time() - started < 24 * 3600
