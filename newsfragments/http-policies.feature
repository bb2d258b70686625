MG2083 informs of fields of a traffic policy that are for HTTP alone.
