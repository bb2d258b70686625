The metrics leave out series of routes, names and endpoints that are gone, five minutes after their last connection.
