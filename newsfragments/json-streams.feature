JSON documents that follow each other, as several runs of ``kubectl get -o json`` give them, are read one by one. YAML
documents without ``---`` between them are refused with that hint.
