Deployments, StatefulSets, DaemonSets and the templates of Pods in documents of any other kind are read: where one of them
makes the Pods of a Service, ``meshgate check`` says once for a file that their addresses are known in a cluster only, and no
longer warns of each route without endpoints; nor does it of a destination with weight 0, or of Services that Istio installs.
