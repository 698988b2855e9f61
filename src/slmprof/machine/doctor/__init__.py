"""What this build and machine can measure, and what would spoil a measurement (docs/doctor.md).

A probe is a small function of what is examined (`subject`), and says what it found in words;
`examination` has the list of them.
"""
