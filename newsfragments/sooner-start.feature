The gateway and the commands start sooner: what checks the fields of a kind is made when the first resource of that kind is read.
