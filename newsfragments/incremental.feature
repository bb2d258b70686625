One changed file of thousands takes effect within a second, and holds up no connection for more than some milliseconds: only what it touches is compiled anew.
