``meshgate diff`` shows changes of access lists: the networks that Gateways allow and deny, by the names that they hold for.
