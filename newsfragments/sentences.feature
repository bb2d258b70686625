Help texts, messages and the status say in plain English what is wrong, where, and what to do; plurals are right.
