Write one line for every connection, as text or JSON, with the one way in which it ended.
