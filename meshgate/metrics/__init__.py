"""Metrics for Prometheus, and the two questions of whoever runs the gateway: does it live, and is it ready?"""
