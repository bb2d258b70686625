Pods and Secrets are read for checks across resources; of a Secret it is seen whether its certificate and key can be used, and nothing of either is kept or shown.
