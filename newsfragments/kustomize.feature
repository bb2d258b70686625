A ``kustomization.yaml`` is no error, even where it says no kind: an info names the command that checks what it makes.
