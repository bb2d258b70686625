`meshgate apply`, `get`, `delete`, `export`, `history` and `rollback` speak to the API of the local gateway.
