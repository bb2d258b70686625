/* Sockets for the data path: the C form of meshgate.transport.lean.sockets. They do less between a call and the kernel
 * than the standard library, which serves all kinds of sockets. The tests run on both forms; other modules see no
 * difference but the time.
 *
 * The invariant: no call here waits, since each has MSG_DONTWAIT or a non-blocking socket. So the interpreter's lock is
 * kept, which would cost as much to release as the call itself. Only close could wait, with SO_LINGER and a time, which
 * is never set. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* READ_SIZE of the module in Python. */
enum { LARGEST_READ = 64 * 1024 };

/* Bytes of the largest socket option that is a structure, as in the standard library. */
enum { LARGEST_STRUCTURE = 1024 };

/* Received bytes are copied to an object of their size at once, so all sockets share one buffer. */
static char received[LARGEST_READ];

typedef struct {
    PyObject_HEAD
    int descriptor;
    int family;
} Socket;

static PyTypeObject Socket_Type;

static PyObject *failed(void)
{
    return PyErr_SetFromErrno(PyExc_OSError);
}

static PyObject *done_or_failed(int result)
{
    if (result < 0)
        return failed();
    Py_RETURN_NONE;
}

/* An argument as a C int; -1 with an exception set if it is none. */
static int as_int(PyObject *argument)
{
    long value = PyLong_AsLong(argument);

    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value != (int)value) {
        PyErr_SetString(PyExc_OverflowError, "the number is too large");
        return -1;
    }
    return (int)value;
}

static int counted(Py_ssize_t given, Py_ssize_t least, Py_ssize_t most)
{
    if (given >= least && given <= most)
        return 1;
    PyErr_Format(PyExc_TypeError, "%zd arguments are given, %zd to %zd are taken", given, least, most);
    return 0;
}

/* The optional last argument, or 0. */
static int flags_of(PyObject *const *arguments, Py_ssize_t given, Py_ssize_t before)
{
    return given > before ? as_int(arguments[before]) : 0;
}

static PyObject *made(int family, int descriptor)
{
    Socket *self = PyObject_New(Socket, &Socket_Type);

    if (self) {
        self->descriptor = descriptor;
        self->family = family;
    }
    return (PyObject *)self;
}

/* Socket(family, type, proto=0, fileno=-1), as socket.SocketType; with a fileno, nothing is asked of the kernel. */
static PyObject *Socket_new(PyTypeObject *type, PyObject *arguments, PyObject *names)
{
    int family, kind, protocol = 0, descriptor = -1;
    PyObject *self;

    if (names && PyDict_GET_SIZE(names)) {
        PyErr_SetString(PyExc_TypeError, "no arguments are taken by name");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "ii|ii", &family, &kind, &protocol, &descriptor))
        return NULL;
    if (descriptor < 0) {
        descriptor = socket(family, kind | SOCK_CLOEXEC, protocol);
        if (descriptor < 0)
            return failed();
    }
    self = made(family, descriptor);
    if (!self)
        close(descriptor);
    return self;
}

static void Socket_dealloc(Socket *self)
{
    if (self->descriptor >= 0)
        close(self->descriptor);
    PyObject_Free(self);
}

static PyObject *Socket_fileno(Socket *self, PyObject *nothing)
{
    return PyLong_FromLong(self->descriptor);
}

static PyObject *Socket_close(Socket *self, PyObject *nothing)
{
    int descriptor = self->descriptor;

    self->descriptor = -1;
    /* After a reset by the peer, the descriptor is closed all the same. */
    if (descriptor >= 0 && close(descriptor) < 0 && errno != ECONNRESET)
        return failed();
    Py_RETURN_NONE;
}

static PyObject *Socket_recv(Socket *self, PyObject *const *arguments, Py_ssize_t given)
{
    Py_ssize_t size;
    ssize_t count;
    int flags;

    if (!counted(given, 1, 2))
        return NULL;
    size = PyLong_AsSsize_t(arguments[0]);
    flags = flags_of(arguments, given, 1);
    if (PyErr_Occurred())
        return NULL;
    if (size < 0 || size > LARGEST_READ) {
        PyErr_Format(PyExc_ValueError, "at most %d bytes are read at once", LARGEST_READ);
        return NULL;
    }
    count = recv(self->descriptor, received, size, flags);
    return count < 0 ? failed() : PyBytes_FromStringAndSize(received, count);
}

static PyObject *Socket_recv_into(Socket *self, PyObject *const *arguments, Py_ssize_t given)
{
    Py_buffer buffer;
    Py_ssize_t size;
    ssize_t count;
    int flags;

    if (!counted(given, 1, 3))
        return NULL;
    size = given > 1 ? PyLong_AsSsize_t(arguments[1]) : 0;
    flags = flags_of(arguments, given, 2);
    if (PyErr_Occurred() || PyObject_GetBuffer(arguments[0], &buffer, PyBUF_WRITABLE) < 0)
        return NULL;
    if (size < 0 || size > buffer.len) {
        PyBuffer_Release(&buffer);
        PyErr_SetString(PyExc_ValueError, "the buffer has no room for that many bytes");
        return NULL;
    }
    count = recv(self->descriptor, buffer.buf, size ? (size_t)size : (size_t)buffer.len, flags);
    PyBuffer_Release(&buffer);
    return count < 0 ? failed() : PyLong_FromSsize_t(count);
}

static PyObject *Socket_send(Socket *self, PyObject *const *arguments, Py_ssize_t given)
{
    Py_buffer data;
    ssize_t count;
    int flags;

    if (!counted(given, 1, 2))
        return NULL;
    flags = flags_of(arguments, given, 1);
    if (PyErr_Occurred() || PyObject_GetBuffer(arguments[0], &data, PyBUF_SIMPLE) < 0)
        return NULL;
    count = send(self->descriptor, data.buf, data.len, flags | MSG_NOSIGNAL);
    PyBuffer_Release(&data);
    return count < 0 ? failed() : PyLong_FromSsize_t(count);
}

static PyObject *Socket_shutdown(Socket *self, PyObject *how)
{
    int value = as_int(how);

    if (PyErr_Occurred())
        return NULL;
    return done_or_failed(shutdown(self->descriptor, value));
}

static int is_port(int number)
{
    if (number >= 0 && number <= 65535)
        return 1;
    PyErr_Format(PyExc_OverflowError, "%d is no port", number);
    return 0;
}

/* Convert a Python address with an IP address to the kernel's form; 0 with an exception set if it is none. */
static socklen_t as_address(int family, PyObject *name, struct sockaddr_storage *address)
{
    const char *host;
    int port;
    unsigned flow = 0, scope = 0;

    memset(address, 0, sizeof *address);
    if (family == AF_INET) {
        struct sockaddr_in *four = (struct sockaddr_in *)address;

        if (!PyArg_ParseTuple(name, "si", &host, &port))
            return 0;
        if (!is_port(port))
            return 0;
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        if (inet_pton(AF_INET, host, &four->sin_addr) == 1)
            return sizeof *four;
    } else {
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;

        if (!PyArg_ParseTuple(name, "si|II", &host, &port, &flow, &scope))
            return 0;
        if (!is_port(port))
            return 0;
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        six->sin6_flowinfo = htonl(flow);
        six->sin6_scope_id = scope;
        if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1)
            return sizeof *six;
    }
    PyErr_Format(PyExc_OSError, "%s is no IP address", host);
    return 0;
}

static PyObject *Socket_connect_ex(Socket *self, PyObject *name)
{
    struct sockaddr_storage address;
    socklen_t size;

    if (!PyTuple_Check(name)) {
        PyErr_SetString(PyExc_TypeError, "an address is a tuple");
        return NULL;
    }
    size = as_address(self->family, name, &address);
    if (!size)
        return NULL;
    return PyLong_FromLong(connect(self->descriptor, (struct sockaddr *)&address, size) < 0 ? errno : 0);
}

static char *put_byte(char *at, unsigned value)
{
    if (value >= 100)
        *at++ = (char)('0' + value / 100);
    if (value >= 10)
        *at++ = (char)('0' + value / 10 % 10);
    *at++ = (char)('0' + value % 10);
    return at;
}

/* By hand, as IPv4 addresses are by far the most frequent, and inet_ntop takes several times as long. */
static PyObject *as_ipv4_name(const struct sockaddr_in *address)
{
    const uint8_t *bytes = (const uint8_t *)&address->sin_addr;
    char text[INET_ADDRSTRLEN], *at = text;
    PyObject *host, *port, *name = NULL;

    for (int i = 0; i < 4; i++) {
        if (i)
            *at++ = '.';
        at = put_byte(at, bytes[i]);
    }
    host = PyUnicode_DecodeASCII(text, at - text, NULL);
    port = PyLong_FromLong(ntohs(address->sin_port));
    if (host && port)
        name = PyTuple_Pack(2, host, port);
    Py_XDECREF(host);
    Py_XDECREF(port);
    return name;
}

/* Convert the kernel's form of an address to the tuple that Python's socket objects return. */
static PyObject *as_name(const struct sockaddr_storage *address)
{
    char host[INET6_ADDRSTRLEN];

    if (address->ss_family == AF_INET)
        return as_ipv4_name((const struct sockaddr_in *)address);
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;

        if (!inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof host))
            return failed();
        return Py_BuildValue("siII", host, (int)ntohs(six->sin6_port), ntohl(six->sin6_flowinfo), six->sin6_scope_id);
    }
    if (address->ss_family == AF_UNIX)
        return PyUnicode_FromString(""); /* nobody asks for the name */
    return PyErr_Format(PyExc_OSError, "an address of family %d", address->ss_family);
}

static PyObject *Socket_getsockname(Socket *self, PyObject *nothing)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;

    if (getsockname(self->descriptor, (struct sockaddr *)&address, &size) < 0)
        return failed();
    return as_name(&address);
}

static PyObject *Socket_getpeername(Socket *self, PyObject *nothing)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;

    if (getpeername(self->descriptor, (struct sockaddr *)&address, &size) < 0)
        return failed();
    return as_name(&address);
}

static PyObject *Socket_getsockopt(Socket *self, PyObject *const *arguments, Py_ssize_t given)
{
    int level, option, wanted, value = 0;
    socklen_t size = sizeof value;
    PyObject *structure;

    if (!counted(given, 2, 3))
        return NULL;
    level = as_int(arguments[0]);
    option = as_int(arguments[1]);
    wanted = flags_of(arguments, given, 2);
    if (PyErr_Occurred())
        return NULL;
    if (!wanted) {
        if (getsockopt(self->descriptor, level, option, &value, &size) < 0)
            return failed();
        return PyLong_FromLong(value);
    }
    if (wanted < 0 || wanted > LARGEST_STRUCTURE) {
        PyErr_Format(PyExc_OSError, "a structure has 1 to %d bytes", LARGEST_STRUCTURE);
        return NULL;
    }
    structure = PyBytes_FromStringAndSize(NULL, wanted);
    if (!structure)
        return NULL;
    size = wanted;
    if (getsockopt(self->descriptor, level, option, PyBytes_AS_STRING(structure), &size) < 0) {
        Py_DECREF(structure);
        return failed();
    }
    _PyBytes_Resize(&structure, size);
    return structure;
}

static PyObject *Socket_setsockopt(Socket *self, PyObject *const *arguments, Py_ssize_t given)
{
    int level, option, value, result;
    Py_buffer data;

    if (!counted(given, 3, 3))
        return NULL;
    level = as_int(arguments[0]);
    option = as_int(arguments[1]);
    if (PyErr_Occurred())
        return NULL;
    if (PyLong_Check(arguments[2])) {
        value = as_int(arguments[2]);
        if (PyErr_Occurred())
            return NULL;
        return done_or_failed(setsockopt(self->descriptor, level, option, &value, sizeof value));
    }
    if (PyObject_GetBuffer(arguments[2], &data, PyBUF_SIMPLE) < 0)
        return NULL;
    result = setsockopt(self->descriptor, level, option, data.buf, (socklen_t)data.len);
    PyBuffer_Release(&data);
    return done_or_failed(result);
}

static PyMethodDef Socket_methods[] = {
    {"close", (PyCFunction)Socket_close, METH_NOARGS, NULL},
    {"connect_ex", (PyCFunction)Socket_connect_ex, METH_O, NULL},
    {"fileno", (PyCFunction)Socket_fileno, METH_NOARGS, NULL},
    {"getpeername", (PyCFunction)Socket_getpeername, METH_NOARGS, NULL},
    {"getsockname", (PyCFunction)Socket_getsockname, METH_NOARGS, NULL},
    {"getsockopt", (PyCFunction)(void (*)(void))Socket_getsockopt, METH_FASTCALL, NULL},
    {"recv", (PyCFunction)(void (*)(void))Socket_recv, METH_FASTCALL, NULL},
    {"recv_into", (PyCFunction)(void (*)(void))Socket_recv_into, METH_FASTCALL, NULL},
    {"send", (PyCFunction)(void (*)(void))Socket_send, METH_FASTCALL, NULL},
    {"setsockopt", (PyCFunction)(void (*)(void))Socket_setsockopt, METH_FASTCALL, NULL},
    {"shutdown", (PyCFunction)Socket_shutdown, METH_O, NULL},
    {NULL},
};

static PyTypeObject Socket_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "meshgate.transport.lean._sockets.Socket",
    .tp_doc = "One TCP socket; what it has of socket.SocketType answers as that does.",
    .tp_basicsize = sizeof(Socket),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_new = Socket_new,
    .tp_dealloc = (destructor)Socket_dealloc,
    .tp_methods = Socket_methods,
};

static PyObject *accept_one(PyObject *module, PyObject *listening)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    int descriptor, from = PyObject_AsFileDescriptor(listening);
    PyObject *peer, *accepted, *both = NULL;

    if (from < 0) {
        /* The listening socket is closed. */
        if (PyErr_ExceptionMatches(PyExc_ValueError)) {
            PyErr_Clear();
            errno = EBADF;
            failed();
        }
        return NULL;
    }
    descriptor = accept4(from, (struct sockaddr *)&address, &size, SOCK_CLOEXEC);
    if (descriptor < 0) {
        if (errno == EAGAIN)
            Py_RETURN_NONE;
        return failed();
    }
    accepted = made(address.ss_family, descriptor);
    if (!accepted) {
        close(descriptor);
        return NULL;
    }
    peer = as_name(&address);
    if (peer) {
        both = PyTuple_Pack(2, accepted, peer);
        Py_DECREF(peer);
    }
    Py_DECREF(accepted);
    return both;
}

/* Begin a connection, and try to send the first bytes. */
static PyObject *begin_connection(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    struct sockaddr_storage address, source;
    socklen_t size, source_size = 0;
    int family, descriptor, number = 0;
    ssize_t sent = 0;
    PyObject *self;

    if (!counted(given, 3, 4))
        return NULL;
    family = as_int(arguments[0]);
    if (PyErr_Occurred())
        return NULL;
    if (!PyTuple_Check(arguments[1]) || !PyBytes_Check(arguments[2])) {
        PyErr_SetString(PyExc_TypeError, "a family, an address and bytes are taken");
        return NULL;
    }
    size = as_address(family, arguments[1], &address);
    if (!size)
        return NULL;
    if (given > 3 && arguments[3] != Py_None) {
        if (!PyTuple_Check(arguments[3])) {
            PyErr_SetString(PyExc_TypeError, "an address is a tuple");
            return NULL;
        }
        source_size = as_address(family, arguments[3], &source);
        if (!source_size)
            return NULL;
    }
    descriptor = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return failed();
    if (source_size) {
        int one = 1;

        /* Older kernels do without. */
        setsockopt(descriptor, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(descriptor, (struct sockaddr *)&source, source_size) < 0)
            number = errno;
    }
    if (!number && connect(descriptor, (struct sockaddr *)&address, size) < 0 && errno != EINPROGRESS)
        number = errno;
    if (!number && PyBytes_GET_SIZE(arguments[2])) {
        sent = send(descriptor, PyBytes_AS_STRING(arguments[2]), PyBytes_GET_SIZE(arguments[2]), MSG_NOSIGNAL);
        if (sent < 0) {
            number = errno == EAGAIN ? 0 : errno;
            sent = 0;
        }
    }
    self = made(family, descriptor);
    if (!self) {
        close(descriptor);
        return NULL;
    }
    return Py_BuildValue("Nin", self, number, sent);
}

/* Move the bytes that have come to one socket to another. */
static PyObject *forward(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    Socket *source, *sink = NULL;
    ssize_t count, sent;

    if (!counted(given, 2, 2))
        return NULL;
    source = (Socket *)arguments[0];
    if (arguments[1] != Py_None)
        sink = (Socket *)arguments[1];
    if (!Py_IS_TYPE(source, &Socket_Type) || (sink && !Py_IS_TYPE(sink, &Socket_Type))) {
        PyErr_SetString(PyExc_TypeError, "two sockets of this module are taken");
        return NULL;
    }
    count = recv(source->descriptor, received, sizeof received, MSG_DONTWAIT);
    if (count < 0)
        return errno == EAGAIN ? PyLong_FromLong(-1) : failed();
    if (!count || !sink)
        return PyLong_FromSsize_t(count);
    sent = send(sink->descriptor, received, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == count)
        return PyLong_FromSsize_t(count);
    if (sent < 0 && errno != EAGAIN)
        return Py_BuildValue("ny#i", count, "", (Py_ssize_t)0, errno);
    if (sent < 0)
        sent = 0;
    return Py_BuildValue("ny#i", count, received + sent, count - sent, 0);
}

static PyMethodDef functions[] = {
    {"accept", accept_one, METH_O, "accept(listening): a socket and its peer's address, or None if the queue is empty."},
    {"connect", (PyCFunction)(void (*)(void))begin_connection, METH_FASTCALL,
     "connect(family, name, first, source=None): as meshgate.transport.lean.sockets.connect."},
    {"forward", (PyCFunction)(void (*)(void))forward, METH_FASTCALL,
     "forward(source, sink): as meshgate.transport.lean.sockets.forward."},
    {NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "meshgate.transport.lean._sockets",
    .m_doc = "Sockets for the data path, as meshgate.transport.lean.sockets has them.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__sockets(void)
{
    PyObject *self;

    if (PyType_Ready(&Socket_Type) < 0)
        return NULL;
    self = PyModule_Create(&module);
    if (self && PyModule_AddObjectRef(self, "Socket", (PyObject *)&Socket_Type) < 0)
        Py_CLEAR(self);
    return self;
}
