Pods and Secrets are read for checks across resources; of a Secret nothing but its type and the names of its keys is kept or shown.
