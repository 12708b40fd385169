"""Measurements behind the README's numbers; docs/benchmarks.md says what each table means."""
