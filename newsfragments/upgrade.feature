``meshgate upgrade``, or SIGUSR2, replaces the running gateway by the version that is installed now, without a refused or a
cut connection: the new process takes over the sockets with their queues, and the old one ends with its connections. If the
new one does not come up, the old one goes on.
