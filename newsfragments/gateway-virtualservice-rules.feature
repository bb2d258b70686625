Gateways and VirtualServices are held against every rule of Istio's validation, all of them at once: a fault in one field no longer hides those between others, and hints name the nearest right thing.
