Run the lab with 'make lab': a TCP echo service and two HTTPS services behind one gateway, from Istio's YAML.
