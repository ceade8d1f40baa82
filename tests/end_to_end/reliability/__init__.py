"""Harnesses that try failure at every point, each in its own module, with what they found kept in docs/reliability.md.

    python -m tests.end_to_end.reliability HARNESS ... [--count N] [--seeds 0 1 ...]

A harness is a module with ABOUT (what it tries, a sentence), COUNT (how many of them for docs/reliability.md) and
`run(count, seed) -> Outcome`. What is tried is a pure function of (seed, number), so that a failure is tried again by
its line alone. Tests run a few of each; `make fuzz` and `make test-slow` run more.
"""
