Say of every resource whether it is accepted, programmed and in conflict, and why, in 'status.json' and 'meshgate status'.
