"""The parts of the benchmark, one per module. Each `measure` returns figures."""
