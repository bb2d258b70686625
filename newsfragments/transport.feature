Connections are carried by a transport of meshgate's own on Linux, which costs half of Twisted's: on a private edge-triggered epoll, with splice for bulk. The setting `transport` chooses.
