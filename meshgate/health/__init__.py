"""Active health checks, which the control process makes for all workers."""
