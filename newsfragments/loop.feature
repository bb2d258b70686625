An endpoint that is one of the gateway's own listeners is not dialed any more: its connections end as ``loop``, one line in the log names route and endpoint, and other routes never notice.
