Bulk data takes a third less processor time: what comes while there is no room for it on the other side wakes nobody.
