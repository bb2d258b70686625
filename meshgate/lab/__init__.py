"""The lab: demonstration workloads (TCP echo, HTTPS), and their certificates."""
