The status of an object of the API says more: Gateways list their listeners with ``open``, ``message`` and
``attachedRoutes``, VirtualServices the Gateways that have taken them, and a Gateway whose port cannot be opened is not
Programmed. ``kubectl wait --for=condition=Programmed`` never returns for the content before a change. The Service
``istio-ingressgateway`` says which ports are open, and has further ports by ``api.service_ports``. Of a resource in a file
and in the API, the file's serves whatever its provider is called, and the other one is Conflicted. Resources of files
show where they are defined, in the annotation ``meshgate/origin``, and keep their age while they are moved.
