Tell what changes for traffic between two configurations: 'meshgate diff OLD NEW'.
