"""The commands: each reads its arguments, calls, and hands over to a reporter.

A command module has `NAME`, `HELP`, `configure(parser)` and `run(args) -> int`, and imports nothing
heavy at its top, so that `slmprof --help` answers at once.
"""
