Hold routes that tell clients apart against expectations: 'source' and 'destination_address', under 'semantics: extended', in the file of 'meshgate test'.
