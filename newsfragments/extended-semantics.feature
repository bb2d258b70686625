Tell routes apart by 'destinationSubnets' and 'sourceSubnet', and cut server names to their server's hosts, with 'semantics: extended'; 'meshgate explain' takes '--source' and '--destination'.
