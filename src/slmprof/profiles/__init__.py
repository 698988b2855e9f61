"""The data model of a profile and its file. Needs numpy only; never the native library."""
