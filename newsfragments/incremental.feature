One changed file of thousands takes effect within a second: only what it touches is compiled anew.
