"""The data model of planned memory: what a model would take, setting by setting.

Plain frozen records, which need neither numpy nor the native library.
"""
