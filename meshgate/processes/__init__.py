"""Processes in general: how one starts, logs, gets signals, and starts others."""
