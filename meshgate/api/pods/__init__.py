"""Pods of the lab: Deployments, ReplicaSets and Pods whose containers are services of this process."""
