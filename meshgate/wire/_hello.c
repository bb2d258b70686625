/* The C form of _read_facts in meshgate.wire.hello, for well-formed messages.
 *
 * It returns None for a message that is malformed or merely unusual. The module in Python then reads the message, and
 * is the only one that refuses any and says why. This one never accepts what that one would refuse. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    SESSION_ID_AT = 34,
    MAX_SESSION_ID = 32,
    MAX_NAME = 255,
    /* A message with more extensions than any client sends is left to the module in Python, whose search for duplicates
     * does not slow down with their number. */
    MAX_EXTENSIONS = 64,

    SERVER_NAME = 0,
    ALPN = 16,
    SUPPORTED_VERSIONS = 43,
    ENCRYPTED_CLIENT_HELLO = 0xFE0D,

    HOST_NAME = 0,
};

typedef struct {
    const uint8_t *at, *end;
} Span;

typedef struct {
    Span server_name, alpn, versions;
    int ech;
} Extensions;

static PyObject *last_alpn, *last_versions;

static unsigned two(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* Step over the fields before the extensions; return 0 if they are malformed. */
static int skip_to_extensions(Span *left)
{
    unsigned size;

    if (left->end - left->at <= SESSION_ID_AT)
        return 0;
    left->at += SESSION_ID_AT;
    size = left->at[0];
    if (size > MAX_SESSION_ID || left->end - left->at < 1 + (ptrdiff_t)size + 2)
        return 0;
    left->at += 1 + size;
    size = two(left->at);
    if (size & 1 || left->end - left->at <= 2 + (ptrdiff_t)size)
        return 0;
    left->at += 2 + size;
    size = left->at[0];
    if (left->end - left->at < 1 + (ptrdiff_t)size)
        return 0;
    left->at += 1 + size;
    return 1;
}

/* Find the extensions that matter; return 0 if the block is malformed. */
static int find_extensions(Span left, Extensions *found)
{
    uint16_t kinds[MAX_EXTENSIONS];
    int count = 0;

    if (left.at == left.end)
        return 1;
    if (left.end - left.at < 2 || left.end - left.at - 2 != (ptrdiff_t)two(left.at))
        return 0;
    left.at += 2;
    while (left.at < left.end) {
        unsigned kind, size;
        Span content;

        if (left.end - left.at < 4 || count == MAX_EXTENSIONS)
            return 0;
        kind = two(left.at);
        size = two(left.at + 2);
        left.at += 4;
        if (left.end - left.at < (ptrdiff_t)size)
            return 0;
        for (int i = 0; i < count; i++)
            if (kinds[i] == kind)
                return 0;
        kinds[count++] = (uint16_t)kind;
        content = (Span){left.at, left.at + size};
        left.at = content.end;
        if (kind == SERVER_NAME)
            found->server_name = content;
        else if (kind == ALPN)
            found->alpn = content;
        else if (kind == SUPPORTED_VERSIONS)
            found->versions = content;
        else if (kind == ENCRYPTED_CLIENT_HELLO)
            found->ech = 1;
    }
    return 1;
}

/* Find the host name in a server_name extension, an empty span if there is none; return 0 if it is malformed. */
static int find_host_name(Span left, Span *name)
{
    int names = 0;

    if (left.end - left.at < 2 || left.end - left.at - 2 != (ptrdiff_t)two(left.at))
        return 0;
    left.at += 2;
    while (left.at < left.end) {
        unsigned kind, size;

        if (left.end - left.at < 3)
            return 0;
        kind = left.at[0];
        size = two(left.at + 1);
        left.at += 3;
        if (left.end - left.at < (ptrdiff_t)size)
            return 0;
        if (kind == HOST_NAME) {
            if (names++)
                return 0;
            *name = (Span){left.at, left.at + size};
        }
        left.at += size;
    }
    return 1;
}

/* A server name in the form in which routes have it; NULL without an exception if the bytes are no such name. */
static PyObject *host_name(Span raw)
{
    Py_ssize_t length = raw.end - raw.at;
    PyObject *name;
    Py_UCS1 *text;

    if (length > MAX_NAME)
        return NULL;
    for (const uint8_t *at = raw.at; at < raw.end; at++)
        if (*at < ' ' || *at > '~')
            return NULL;
    if (length && raw.end[-1] == '.')
        length--;
    if (!length)
        Py_RETURN_NONE;
    name = PyUnicode_New(length, 127);
    if (!name)
        return NULL;
    text = PyUnicode_1BYTE_DATA(name);
    for (Py_ssize_t i = 0; i < length; i++)
        text[i] = raw.at[i] >= 'A' && raw.at[i] <= 'Z' ? raw.at[i] | 0x20 : raw.at[i];
    return name;
}

/* The content of an extension, or None if it is not there. Clients send the same content again and again: returning the
 * same object saves the caches in Python from hashing it again. */
static PyObject *content(Span span, PyObject **last)
{
    Py_ssize_t size = span.end - span.at;

    if (!span.at)
        Py_RETURN_NONE;
    if (!*last || PyBytes_GET_SIZE(*last) != size || memcmp(PyBytes_AS_STRING(*last), span.at, (size_t)size))
        Py_XSETREF(*last, PyBytes_FromStringAndSize((const char *)span.at, size));
    return Py_XNewRef(*last);
}

static PyObject *read_facts(PyObject *module, PyObject *const *arguments, Py_ssize_t given)
{
    Py_ssize_t start, end;
    Span message, raw = {NULL, NULL};
    Extensions found = {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}, 0};
    PyObject *items[4], *facts = NULL;

    if (given != 3 || !PyBytes_Check(arguments[0])) {
        PyErr_SetString(PyExc_TypeError, "the arguments are bytes, a start and an end");
        return NULL;
    }
    start = PyLong_AsSsize_t(arguments[1]);
    end = PyLong_AsSsize_t(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    if (start < 0 || start > end || end > PyBytes_GET_SIZE(arguments[0])) {
        PyErr_SetString(PyExc_ValueError, "the message is not within the bytes");
        return NULL;
    }
    message.at = (const uint8_t *)PyBytes_AS_STRING(arguments[0]) + start;
    message.end = message.at + (end - start);
    if (!skip_to_extensions(&message) || !find_extensions(message, &found))
        Py_RETURN_NONE;
    if (found.server_name.at && !find_host_name(found.server_name, &raw))
        Py_RETURN_NONE;
    items[0] = host_name(raw);
    if (!items[0]) {
        if (PyErr_Occurred())
            return NULL;
        Py_RETURN_NONE;
    }
    items[1] = content(found.alpn, &last_alpn);
    items[2] = content(found.versions, &last_versions);
    items[3] = found.ech ? Py_True : Py_False;
    Py_INCREF(items[3]);
    if (items[1] && items[2])
        facts = PyTuple_Pack(4, items[0], items[1], items[2], items[3]);
    for (int i = 0; i < 4; i++)
        Py_XDECREF(items[i]);
    return facts;
}

static PyMethodDef functions[] = {
    {"read_facts", (PyCFunction)(void (*)(void))read_facts, METH_FASTCALL,
     "read_facts(data, start, end): server name, contents of ALPN and supported_versions, True if there is ECH.\n\n"
     "None for a message that is malformed or unusual."},
    {NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "meshgate.wire._hello",
    .m_doc = "The C form of meshgate.wire.hello.",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__hello(void)
{
    return PyModule_Create(&module);
}
