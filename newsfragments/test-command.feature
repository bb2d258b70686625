Hold routes against a file of expectations in continuous integration: 'meshgate test FILE'.
