`meshgate init --provider NAME DIR` writes a Python package with a route provider of your own, its settings and its
tests, ready to install and to change; `meshgate.testing.RecordingSink` serves in the tests of providers.
