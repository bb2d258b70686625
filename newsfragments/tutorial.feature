`make tutorial`, or `meshgate init --tutorial DIR`, runs a lab that kubectl fills: Istio's tutorial of TCP ports and server names goes through with its own commands, pods included.
