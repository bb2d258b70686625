A DestinationRule that the gateway does not follow is reported (``MG2079``) with where it stands, where the gateway looks
and what to change; ``MG2043`` names the rule that has the subset; ``meshgate explain`` lists all rules for each
destination, and why each is not followed.
