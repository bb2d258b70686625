Events of connections no longer take a turn of the reactor each: it gets one when a timed call is due, or something else is to be done. Where connections come one by one, that saves a tenth and more.
