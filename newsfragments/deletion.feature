Deleting follows ``ownerReferences``: ``kubectl delete --cascade=background``, ``foreground`` and ``orphan`` do as in a cluster, and a
namespace goes with all that is in it.
