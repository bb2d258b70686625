WorkloadEntries have a status, too: they are Programmed if routes lead to their addresses.
