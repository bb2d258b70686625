Deployments, StatefulSets and DaemonSets are read: where one of them makes the Pods of a Service, ``meshgate check`` says
once for a file that their addresses are known in a cluster only, and no longer warns of each route without endpoints.
