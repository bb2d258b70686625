The pods of Deployments run in the lab, too. ReplicaSets adopt pods that have lost theirs and release those whose labels no longer
fit, and a pod whose loopback address another gateway uses moves to another one.
