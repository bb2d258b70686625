The pods of Deployments are updated in steps, as ``maxSurge`` and ``maxUnavailable`` say, and pods that go serve their
connections to the end; ``kubectl rollout history`` and ``undo`` know earlier templates, ReplicaSets run pods of their own, and a
container that cannot run says what it waits for (``ErrImagePull``, ``CreateContainerConfigError``, ``ContainerCreating``,
``CrashLoopBackOff``), with events. ``envFrom``, ``$(NAME)``, optional sources and projected volumes work.
